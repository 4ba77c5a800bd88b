"""test_compat.py - code written for other libraries takes part as it is."""
import importlib.util
import unittest

from support import Daemon, in_background, main_or_skip, wait_for

try:
    import numpy as np
    import tributary as trib
    from tributary.compat import flower
except ImportError:
    main_or_skip("numpy", "tributary")


def has(module):
    return importlib.util.find_spec(module) is not None


class FlowerClient:
    """As people write them: least squares on one's own rows, and a counter that is nobody else's."""

    def __init__(self, seed):
        random = np.random.default_rng(seed)
        self.x = random.normal(size=(64, 3)).astype(np.float32)
        self.y = self.x @ np.array([1, -2, 3], np.float32)
        self.weight = np.zeros(3, np.float32)
        self.calls = np.zeros((), np.int64)
        self.configs = []

    def get_parameters(self, config):
        return [self.weight, self.calls]

    def set_parameters(self, parameters):
        self.weight, self.calls = parameters[0].copy(), parameters[1] + 1

    def loss(self):
        return float(np.square(self.x @ self.weight - self.y).mean())

    def fit(self, parameters, config):
        self.configs.append(config)
        self.set_parameters(parameters)
        for _ in range(config["epochs"]):
            error = self.x @ self.weight - self.y
            self.weight -= config["lr"] * (self.x.T @ error) / len(error)
        return self.get_parameters({}), len(self.x), {"loss": self.loss(), "site": "mercy"}

    def evaluate(self, parameters, config):
        self.set_parameters(parameters)
        return self.loss(), len(self.x), {"accuracy": 1.0 if self.loss() < 0.01 else 0.0}


class Flower(Daemon):
    def test_a_flower_client_trains_and_evaluates_unchanged(self):
        clients = [FlowerClient(seed) for seed in range(2)]
        run = self.server.create({
            "name": "r", "strategy": {"quorum": 2}, "train": {"epochs": 5, "lr": 0.3},
            "stop": {"versions": 10}, "evaluate": {"on": ["clients"], "metric": "loss", "mode": "min",
                                                   "min_clients": 2}},
            flower.parameters(clients[0]))
        threads = [in_background(lambda index=index: flower.run(clients[index], run.link, f"c{index}"))
                   for index in range(2)]
        for thread in threads:
            thread.join(60)
        self.assertEqual(run.version, 10)
        np.testing.assert_allclose(run.model(like="numpy")["0000"], [1, -2, 3], atol=0.05)
        self.assertEqual(clients[0].configs[0], {"epochs": 5, "lr": 0.3, "server_round": 1})
        self.assertGreaterEqual(int(clients[0].calls), 10)
        rows = run.history()
        self.assertLess(rows[-1]["train_loss"], rows[1]["train_loss"])
        self.assertTrue(any("evaluation_loss" in row for row in rows))

    def test_names_are_the_models_own_when_given(self):
        client = FlowerClient(1)
        names = ["layer.weight", "layer.calls"]
        run = self.server.create({"name": "r", "train": {"epochs": 1, "lr": 0.1},
                                  "stop": {"versions": 1}}, flower.parameters(client, names))
        with self.assertRaisesRegex(trib.ModelError, "layer.weight, which is none of names"):
            flower.run(client, run.link, "a")
        with self.assertRaisesRegex(trib.ModelError, "1 names for 2 arrays"):
            flower.run(client, run.link, "a", names=["x"])

        class Wrapped:
            numpy_client = client

        flower.run(Wrapped(), run.link, "b", names=names)  # "a" gave its task back, and rests
        self.assertEqual(set(run.model(like="numpy")), {"layer.weight"})


@unittest.skipUnless(has("torch"), "torch is not installed")
class Trainers(Daemon):
    def setUp(self):
        super().setUp()
        import torch

        self.torch = torch
        torch.manual_seed(1)
        torch.set_num_threads(1)
        self.x = torch.randn(64, 3)
        self.y = self.x @ torch.tensor([[1.0], [-2.0], [3.0]])

    def check(self, run):
        wait_for(lambda: run.state == "stopped")
        rows = run.history()
        self.assertEqual([row["updates"] for row in rows], [0] + [1] * 6)
        self.assertEqual([row["weight"] for row in rows[1:]], [5 * 16] * 6)
        self.assertLess(rows[-1]["train_loss"], rows[1]["train_loss"])

    def test_a_lightning_trainer(self):
        if not has("lightning"):
            self.skipTest("lightning is not installed")
        import lightning
        from tributary.compat.lightning import TributaryCallback

        torch, test = self.torch, self

        class Module(lightning.LightningModule):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(3, 1)

            def training_step(self, batch, index):
                return torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])

            def configure_optimizers(self):
                return torch.optim.SGD(self.parameters(), 0.05)

        module = Module()
        run = test.create(module, stop={"versions": 6}, train={"steps": 5})
        rows = torch.utils.data.TensorDataset(self.x, self.y)
        loader = torch.utils.data.DataLoader(rows, 16)
        trainer = lightning.Trainer(
            max_steps=-1, max_epochs=-1, accelerator="cpu", logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            callbacks=[TributaryCallback(run.link, "a")])
        trainer.fit(module, loader)
        self.check(run)

    def test_a_hugging_face_trainer(self):
        if not has("transformers") or not has("accelerate"):
            self.skipTest("transformers, or accelerate that it trains with, is not installed")
        from transformers import Trainer, TrainingArguments
        from tributary.compat.transformers import TributaryCallback

        torch = self.torch

        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(3, 1)

            def forward(self, x, labels):
                scores = self.layer(x)
                return {"loss": torch.nn.functional.mse_loss(scores, labels), "logits": scores}

        model = Model()
        run = self.create(model, stop={"versions": 6}, train={"steps": 5})
        rows = [{"x": x, "labels": y} for x, y in zip(self.x, self.y)]
        arguments = TrainingArguments(
            output_dir=str(self.server.log.parent / "out"), per_device_train_batch_size=16,
            max_steps=10**6, learning_rate=0.05, logging_steps=1, report_to=[], save_strategy="no",
            disable_tqdm=True, use_cpu=True, lr_scheduler_type="constant")
        trainer = Trainer(model, arguments, train_dataset=rows,
                          callbacks=[TributaryCallback(run.link, "a")])
        trainer.train()
        self.check(run)


if __name__ == "__main__":
    main_or_skip("numpy", "tributary")
