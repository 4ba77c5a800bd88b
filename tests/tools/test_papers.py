"""What bench/papers makes of simulations: where a curve meets its target, which rates are tried."""
import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench" / "papers"))
sys.dont_write_bytecode = True
from simulator import OutOfTime, Reach, Record, Simulator, crossing, late_staleness  # noqa: E402
from tables import TABLES  # noqa: E402


def line(version, accuracy):
    return {"version": version, "updates_sent": 10 * version, "time": 100 * version, "bytes_down": version,
            "bytes_up": version, "accuracy": accuracy}


class Fake(Simulator):
    """Clients whose accuracy is version / needed[rate]; a rate that is not there never gets anywhere."""

    def __init__(self, needed, record=None, minutes=None):
        super().__init__(None, None, Record(record), minutes)
        self.needed, self.tried = needed, []

    def run(self, spec, fleet):
        rate = spec["train"]["lr"]
        self.tried.append((rate, spec["seed"], spec["stop"]["versions"]))
        needed = self.needed.get(rate, 1e9) + (spec["seed"] - 1)
        return [line(v, v / needed) for v in range(1, spec["stop"]["versions"] + 1)], 1.0


CELL = Reach({"train": {}}, (), 1.0, 50, 0, (1, 2, 3, 4, 5))


class Papers(unittest.TestCase):
    def test_a_curve_meets_its_target_between_two_evaluations(self):
        curve = [line(10, 0.5), line(20, 0.4), {"version": 25}, line(30, 0.9)]
        self.assertEqual(crossing(curve, 0.7), {"version": 25, "updates_sent": 250, "time": 2500, "bytes": 50})
        self.assertIsNone(crossing(curve, 0.95))

    def test_staleness_is_that_of_the_second_half(self):
        lines = [{"staleness": s, "updates": n} for s, n in ((0, 9), (1, 9), (4, 1), (8, 3))]
        self.assertEqual(late_staleness(lines), 7)

    def test_the_best_rate_has_a_worse_one_on_either_side(self):
        for best in CELL.rates:
            with self.subTest(best=best):
                fake = Fake({rate: 20 + 2 * abs(rate - best) for rate in CELL.rates})
                self.assertEqual(fake.reached(CELL, 1).rate, best)
                rates = {rate for rate, _, _ in fake.tried}
                self.assertLessEqual({best - 1, best, best + 1} & set(CELL.rates), rates)

    def test_a_rate_that_falls_behind_is_not_followed(self):
        fake = Fake({3: 20, 2: 40, 4: 30})
        fake.reached(CELL, 1)
        self.assertEqual(fake.tried, [(3, 1, 50), (2, 1, 20), (4, 1, 20)])

    def test_a_cell_is_the_median_of_its_seeds(self):
        reached = Fake({3: 20}).reached(CELL, 3)
        self.assertEqual((reached.counts["version"], reached.rate, reached.runs), (21, 3, 3))

    def test_what_is_on_record_is_not_run_again(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "record")
            first = Fake({3: 20}, path)
            answer = first.reached(CELL, 2)
            again = Fake({}, path, minutes=0)
            self.assertEqual((again.reached(CELL, 2), again.tried), (answer, []))
            self.assertEqual(again.cpu_seconds, first.cpu_seconds)
            with self.assertRaises(OutOfTime):
                again.reached(CELL, 3)

    def test_tables_are_well_formed(self):
        for name, make in TABLES.items():
            with self.subTest(name=name):
                table = make()
                for row in table.rows:
                    self.assertEqual(len(row.labels) + len(row.figures), len(table.columns))
                json.dumps([figure.cell for row in table.rows for figure in row.figures if figure])


if __name__ == "__main__":
    unittest.main()
