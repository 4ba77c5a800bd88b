"""Large models: how much memory the daemon takes for one, against the model's size."""
import pathlib
import struct
import unittest

import harness

MIB = 1 << 20
MODEL_BYTES = 64 * MIB


def file_of(byte_count, value=0.0):
    """A model or an update with one tensor of so many bytes, all of one value."""
    head = b'{"w":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}' % (byte_count // 4, byte_count)
    return struct.pack("<Q", len(head)) + head + struct.pack("<f", value) * (byte_count // 4)


def peak_bytes(daemon):
    status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def play_rounds(run, clients, rounds, body):
    """All clients answer every round; the digest of the last version."""
    for version in range(rounds):
        for client in clients:
            assert client.train_task()["version"] == version
            assert client.put(f"u{version}", body, base=version, examples=1).status == 200
        harness.wait_for(lambda: run.version() == version + 1, 60, "version")


class Memory(unittest.TestCase):
    @unittest.skipIf(harness.SCALE != 1, "a sanitizer has memory of its own")
    def test_a_resident_model_takes_less_than_five_times_its_size(self):
        """Current and next version, one sum of twice the size. A second sum would be six times."""
        for client_count in (2, 6):
            with self.subTest(clients=client_count):
                daemon = harness.Daemon()
                self.addCleanup(daemon.close)
                before = peak_bytes(daemon)
                run = daemon.create({"name": "r", "strategy": {"preset": "fedavg", "quorum": client_count}},
                                    file_of(MODEL_BYTES))
                clients = [run.join(f"c{i}") for i in range(client_count)]
                play_rounds(run, clients, 2, file_of(MODEL_BYTES, 0.5))
                ratio = (peak_bytes(daemon) - before) / MODEL_BYTES
                print(f"# resident, {client_count} clients: {ratio:.2f} models", flush=True)
                self.assertLess(ratio, 4.5)


if __name__ == "__main__":
    harness.main()
