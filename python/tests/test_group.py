"""test_group.py - two processes of one site (gloo): DDP, FSDP2, and errors that all of them see."""
import subprocess
import sys
import tempfile
import textwrap

from support import SCALE, Daemon, main_or_skip

try:
    import torch
    import torch.distributed
    import tributary as trib
except ImportError:
    main_or_skip("torch", "tributary")

PROLOGUE = """
import os, sys
import torch
import torch.distributed as dist
from torch import nn
import tributary as trib
rank, store, link = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
torch.manual_seed(1)
torch.set_num_threads(1)
group = dist.group.WORLD

def train(model, task):
    loss = model(torch.ones(4, 8) * (rank + 1)).square().mean()
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= task.lr * parameter.grad
            parameter.grad = None
    return loss
"""


# PyTorch's own threads may wait for the interpreter when it ends, which then ends by abort().
EPILOGUE = """
dist.destroy_process_group()
sys.stdout.flush()
os._exit(0)
"""


class Groups(Daemon):
    def play(self, script, link):
        """The script in two processes; what each printed."""
        with tempfile.TemporaryDirectory() as folder:
            text = PROLOGUE + textwrap.dedent(script) + EPILOGUE
            processes = [subprocess.Popen([sys.executable, "-c", text, str(rank), f"{folder}/store",
                                           link], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                          text=True) for rank in range(2)]
            outcomes = [process.communicate(timeout=120 * SCALE) for process in processes]
        for process, (_, errors) in zip(processes, outcomes):
            self.assertEqual(process.returncode, 0, errors)
        return [printed.split() for printed, _ in outcomes]

    def test_ddp_counts_as_one_client(self):
        model = torch.nn.Linear(8, 2)
        run = self.create(model, stop={"versions": 3}, train={"lr": 0.01})
        printed = self.play("""
            model = nn.parallel.DistributedDataParallel(nn.Linear(8, 2))
            with trib.join(link, "site", process_group=group) as client:
                for task in client:
                    model.module.load_state_dict(task.weights())
                    loss = train(model, task)
                    task.progress(1.0)
                    task.submit(model, examples=8, metrics={"loss": loss})
                print(float(model.module.weight.detach().sum()), client.stop_reason.replace(" ", "_"))
        """, run.link)
        self.assertEqual(printed[0], printed[1])
        self.assertAlmostEqual(float(printed[0][0]), float(run.model()["weight"].sum()), 4)
        self.assertEqual(run.status()["clients"]["joined"], 1)
        self.assertEqual([row["updates"] for row in run.history()], [0, 1, 1, 1])

    def test_fsdp2_is_gathered_and_spread(self):
        try:
            from torch.distributed.fsdp import fully_shard  # noqa: F401
        except (ImportError, ValueError):  # Debian's 1.13 has half of an older one
            self.skipTest("this PyTorch has no FSDP2")
        model = torch.nn.Linear(8, 2)
        run = self.create(model, stop={"versions": 2}, train={"lr": 0.01})
        printed = self.play("""
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard
            model = nn.Linear(8, 2)
            fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
            with trib.join(link, "site", process_group=group) as client:
                for task in client:
                    task.load(model)
                    train(model, task)
                    task.submit(model, examples=8)
            print(float(model.weight.detach().full_tensor().sum()))
        """, run.link)
        self.assertEqual(printed[0], printed[1])
        self.assertAlmostEqual(float(printed[0][0]), float(run.model()["weight"].sum()), 4)

    def test_an_error_of_the_speaker_is_everybodys(self):
        run = self.create(torch.nn.Linear(8, 2))
        printed = self.play("""
            model = nn.Linear(8, 2)
            with trib.join(link, "site", process_group=group) as client:
                task = client.next()
                task.load(model)
                with torch.no_grad():
                    model.weight.fill_(float("nan"))
                try:
                    task.submit(model, examples=8)
                except trib.ModelError as error:
                    print(str(error).split(":")[0].replace(" ", "_"))
                task.decline("diverged")
            try:
                trib.join("trib://127.0.0.1:1/r", "site", process_group=group, retry_for=0.1)
            except trib.UnreachableError as error:
                print("unreachable")
        """, run.link)
        self.assertEqual(printed, [["tensor_weight", "unreachable"]] * 2)


if __name__ == "__main__":
    main_or_skip("torch", "tributary")
