"""test_torch.py - models of PyTorch, as they are."""
import ctypes
import inspect
import unittest.mock

from support import Daemon, main_or_skip, wait_for
import support

try:
    import torch
    import tributary as trib
    from torch import nn
except ImportError:
    main_or_skip("torch", "tributary")


def normalised():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


class Tied(nn.Module):
    """Words in, words out, one matrix for both."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, words):
        return self.head(self.embed(words))


def step(model, inputs, lr):
    loss = model(inputs).square().mean()
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= lr * parameter.grad
            parameter.grad = None
    return loss


class Models(Daemon):
    def test_the_four_lines_with_batch_normalisation(self):
        """Running statistics are averaged, their counter is the client's own."""
        model = normalised()
        run = self.create(model, stop={"versions": 3})
        losses = []
        with trib.join(run.link, "a") as client:
            for task in client:
                model.load_state_dict(task.weights())
                loss = step(model, torch.randn(16, 4) + 5, task.lr)
                task.submit(model, examples=16, metrics={"loss": loss})
                losses.append(loss.item())
        self.assertEqual(len(losses), 3)
        final = run.model()
        self.assertNotIn("1.num_batches_tracked", final)
        self.assertIn("1.running_mean", final)
        for name, value in final.items():
            torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-5, atol=1e-6)
        for row, loss in zip(run.history()[1:], losses):
            self.assertAlmostEqual(row["train_loss"], loss, 5)

    def test_weights_are_tensors_without_copies_and_can_be_the_model(self):
        model = nn.Linear(3, 2)
        run = self.create(model)
        with self.join(run) as client:
            for _ in range(3):
                task = client.next()
                weights = task.weights()
                again = torch.frombuffer(memoryview(weights["weight"].numpy()), dtype=torch.float32)
                self.assertEqual(again.data_ptr(), weights["weight"].data_ptr())
                if "assign" not in inspect.signature(model.load_state_dict).parameters:
                    self.skipTest("this PyTorch cannot take tensors as parameters")
                model.load_state_dict(weights, assign=True)  # trains in the received memory
                self.assertEqual(model.weight.data_ptr(), weights["weight"].data_ptr())
                del weights
                step(model, torch.ones(1, 3), task.lr)
                expected = model.weight.detach().clone()
                task.submit(model, examples=1)
                wait_for(lambda: run.version == task.version + 1)
                torch.testing.assert_close(run.model()["weight"], expected)

    def test_parameters_are_sent_from_where_they_lie(self):
        model = nn.Linear(2048, 2048, bias=False)  # 16 MiB
        size = model.weight.numel() * 4
        run = self.create(model)
        with self.join(run) as client:
            task = client.next()
            task.load(model)
            support.reset_resident_peak()
            before = support.resident_peak_bytes()
            task.submit(model, examples=1)
            self.assertLess(support.resident_peak_bytes() - before, size / 2)

    def test_tied_weights_stay_tied(self):
        torch.manual_seed(1)
        model = Tied()
        run = self.create(model, stop={"versions": 3})
        with trib.join(run.link, "a") as client:
            for task in client:
                model.load_state_dict(task.weights())
                self.assertIs(model.head.weight, model.embed.weight)
                step(model, torch.arange(10), task.lr)
                task.submit(model, examples=10)
        final = run.model()
        self.assertTrue(torch.equal(final["embed.weight"], final["head.weight"]))
        torch.testing.assert_close(final["head.weight"], model.head.weight.detach())

    def test_other_floats_layouts_and_modes_are_converted(self):
        run = self.create({"a": torch.zeros(4, 6), "b": torch.zeros(3), "c": torch.zeros(())})
        with self.join(run) as client:
            task = client.next()
            trained = {"a": torch.arange(24.0).div(2).reshape(6, 4).T,  # not contiguous
                       "b": torch.ones(3, dtype=torch.bfloat16, requires_grad=True),
                       "c": torch.tensor(2.5, dtype=torch.float64)}
            task.submit(trained, examples=1)
            wait_for(lambda: run.version == 1)
        final = run.model()
        for name in trained:
            torch.testing.assert_close(final[name], trained[name].detach().float().contiguous())

    def test_integer_tensors_in_the_place_of_floats_are_refused(self):
        run = self.create({"a": torch.zeros(4)})
        with self.join(run) as client:
            task = client.next()
            with self.assertRaisesRegex(trib.ModelError, "tensor a: dtype int64"):
                task.submit({"a": torch.zeros(4, dtype=torch.int64)}, examples=1)
            task.decline()

    def test_tensors_on_a_device_are_fetched(self):
        if not torch.cuda.is_available():
            self.skipTest("no device here")
        model = nn.Linear(3, 2).cuda()
        run = self.create(model)
        with self.join(run) as client:
            task = client.next()
            task.load(model)
            step(model, torch.ones(1, 3).cuda(), task.lr)
            task.submit(model, examples=1)
            wait_for(lambda: run.version == 1)
        torch.testing.assert_close(run.model()["weight"], model.weight.detach().cpu())

    def test_a_device_without_values_is_named(self):
        model = nn.Linear(3, 2)
        run = self.create(model)
        with self.join(run) as client:
            task = client.next()
            for call in (lambda: task.submit(nn.Linear(3, 2, device="meta"), examples=1),
                         lambda: task.load(nn.Linear(3, 2, device="meta")),
                         lambda: self.create(nn.Linear(3, 2, device="meta"), name="other")):
                with self.assertRaisesRegex(trib.ModelError, "tensor (bias|weight): on the device meta"):
                    call()
            task.load(model)  # nothing has happened to the task
            task.submit(model, examples=1)
            wait_for(lambda: run.version == 1)

    def test_sparse_tensors_are_filled_up(self):
        run = self.create({"a": torch.zeros(2, 3)})
        with self.join(run) as client:
            client.next().submit({"a": torch.eye(2, 3).to_sparse()}, examples=1)
            wait_for(lambda: run.version == 1)
        self.assertTrue(torch.equal(run.model()["a"], torch.eye(2, 3)))

    def test_a_model_that_diverged_at_one_site_is_refused_there(self):
        model = normalised()
        run = self.create(model)
        client = self.join(run)
        with self.assertRaisesRegex(trib.ModelError, r"tensor 0.bias: value \d+ is not a finite"):
            with client:
                for task in client:
                    task.load(model)
                    step(model, torch.full((16, 4), float("nan")), task.lr)
                    task.submit(model, examples=16)
        self.assertEqual(run.status()["refused"], {})
        with self.join(run, "b") as healthy:
            self.assertEqual(healthy.next().version, 0)

    def test_personal_layers_stay_and_load_keeps_them(self):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
        run = self.create(model, model={"tensors": [{"match": "1.*", "role": "local"}]})
        with self.join(run) as client:
            task = client.next()
            mine = model[1].weight.detach().clone()
            with torch.no_grad():
                model[0].weight.add_(1)
            task.load(model)
            self.assertTrue(torch.equal(model[1].weight, mine))
            torch.testing.assert_close(model[0].weight.detach(), run.model()["0.weight"])
            task.submit(model, examples=1)
            wait_for(lambda: run.version == 1)

    def test_adapters_alone_travel_on_a_frozen_base(self):
        """LoRA: the run has the adapters; the base, which every site has, never moves."""
        torch.manual_seed(1)

        class Adapted(nn.Module):
            def __init__(self):
                super().__init__()
                self.base = nn.Linear(64, 64).requires_grad_(False)
                self.lora_a = nn.Linear(64, 2, bias=False)
                self.lora_b = nn.Linear(2, 64, bias=False)

            def forward(self, inputs):
                return self.base(inputs) + self.lora_b(self.lora_a(inputs))

        model = Adapted()
        adapters = {name: value for name, value in model.state_dict().items() if "lora" in name}
        run = self.create(adapters, stop={"versions": 2})
        base = model.base.weight.clone()
        with trib.join(run.link, "a") as client:
            for task in client:
                task.load(model)
                inputs = torch.randn(8, 64)
                loss = model(inputs).square().mean()
                gradients = torch.autograd.grad(loss, [model.lora_a.weight, model.lora_b.weight])
                with torch.no_grad():
                    model.lora_a.weight -= task.lr * gradients[0]
                    model.lora_b.weight -= task.lr * gradients[1]
                task.submit(model, examples=8)
        self.assertTrue(torch.equal(base, model.base.weight))
        self.assertLess(run.history()[1]["bytes"], 4096)
        torch.testing.assert_close(run.model()["lora_a.weight"], model.lora_a.weight.detach())

    def test_loading_checks_names_and_shapes(self):
        run = self.create({"weight": torch.zeros(2, 3), "bias": torch.zeros(2)})
        with self.join(run) as client:
            task = client.next()
            with self.assertRaisesRegex(trib.ModelError, "the run's model has bias"):
                task.load(nn.Linear(3, 2, bias=False))
            with self.assertRaisesRegex(trib.ModelError, r"shape \[2, 4\], the run's model has"):
                task.load(nn.Linear(4, 2))
            task.load(nn.Linear(3, 2))
            task.decline()

    def test_numpy_is_not_needed(self):
        run = self.create({"a": torch.zeros(4)})
        with self.join(run) as client:
            task = client.next()
            if not support.IS_PURE:
                with unittest.mock.patch("tributary._arrays.numpy_or_none", lambda: None):
                    from tributary import _arrays

                    lent = _arrays.borrow("a", torch.ones(4))
                    self.assertIsInstance(lent, ctypes.Array)
                    task.submit({"a": torch.ones(4)}, examples=1)
            else:
                task.submit({"a": torch.ones(4)}, examples=1)
            wait_for(lambda: run.version == 1)
        self.assertTrue(torch.equal(run.model()["a"], torch.ones(4)))


if __name__ == "__main__":
    main_or_skip("torch", "numpy", "tributary")
