"""test_roles.py - tensor roles and groups on the wire: BatchNorm statistics, frozen and local tensors, adapters."""
import unittest

from harness import Daemon, main, read_safetensors, safetensors, wait_for


class Roles(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)

    def test_batchnorm_statistics_pass_by_the_optimizer(self):
        model = {"bn.running_mean": ([2], [1.0, 2.0]), "bn.running_var": ([2], [4.0, 8.0]),
                 "bn.weight": ([2], [1.0, 1.0])}
        run = self.daemon.create(
            {"name": "bn", "strategy": {"preset": "fedadam", "quorum": 2, "server": {"lr": 0.1}}},
            safetensors(model))
        for i, client in enumerate((run.join("a"), run.join("b"))):
            change = {"bn.running_mean": ([2], [1.0 + 2 * i, -1.0]),
                      "bn.running_var": ([2], [0.5, 0.5]), "bn.weight": ([2], [0.5, -0.5])}
            reply = client.put("u", safetensors(change), base=0, examples=1 + i)
            self.assertEqual(reply.status, 200, reply.body)
        wait_for(lambda: run.version() == 1)
        values = read_safetensors(run.model().body)
        mean = 1.0 + (1 * 1.0 + 2 * 3.0) / 3
        self.assertAlmostEqual(values["bn.running_mean"][0], mean, places=6)
        self.assertEqual(values["bn.running_mean"][1], 1.0)
        self.assertEqual(values["bn.running_var"], [4.5, 8.5])
        # FedAdam's first step is lr * (1-b1) D / (sqrt(v) + tau), nothing like the mean itself.
        step = 0.1 * 0.1 * 0.5 / ((0.99 * 1e-6 + 0.01 * 0.25) ** 0.5 + 1e-3)
        self.assertAlmostEqual(values["bn.weight"][0], 1 + step, places=5)

    def test_frozen_tensors_are_refused_in_updates_and_stay(self):
        run = self.daemon.create(
            {"name": "lora", "strategy": {"quorum": 1}, "model": {
                "init": "upload", "tensors": [{"match": "base.*", "role": "freeze"}]}},
            safetensors({"base.w": ([2], [7.0, 8.0]), "adapter.w": ([2], [0.0, 0.0])}))
        client = run.join("a")
        both = safetensors({"base.w": ([2], [1, 1]), "adapter.w": ([2], [1, 1])})
        reply = client.put("u0", both, base=0, examples=1)
        self.assertEqual((reply.status, reply.json()["code"]), (422, "tensor"), reply.body)
        self.assertIn("base.w", reply.json()["message"])
        reply = client.put("u1", safetensors({"adapter.w": ([2], [1, 2])}), base=0, examples=1)
        self.assertEqual(reply.status, 200, reply.body)
        wait_for(lambda: run.version() == 1)
        self.assertEqual(read_safetensors(run.model().body),
                         {"base.w": [7.0, 8.0], "adapter.w": [1.0, 2.0]})

    def test_groups_have_their_own_weights(self):
        run = self.daemon.create(
            {"name": "groups", "strategy": {"quorum": 2}, "model": {
                "init": "upload", "tensors": [{"match": "a.*", "group": "a"},
                                              {"match": "b.*", "group": "b"}]}},
            safetensors({"a.w": ([1], [0.0]), "b.w": ([1], [0.0])}))
        first, second = run.join("one"), run.join("two")
        reply = first.put("u", safetensors({"a.w": ([1], [2.0]), "b.w": ([1], [2.0])}), base=0,
                          examples=1)
        self.assertEqual(reply.status, 200, reply.body)
        reply = second.put("u", safetensors({"a.w": ([1], [4.0])}), base=0, examples=3)
        self.assertEqual(reply.status, 200, reply.body)
        wait_for(lambda: run.version() == 1)
        self.assertEqual(read_safetensors(run.model().body), {"a.w": [3.5], "b.w": [2.0]})


if __name__ == "__main__":
    main()
