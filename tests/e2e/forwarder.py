"""forwarder.py - two machines and a bad way between them: network namespaces joined by a user-space
forwarder, as the kernel's own netem is often not there.

     clients' namespace                                            daemon's namespace
     10.77.0.2 --- TUN ----> take() --- queue by due time ---> deliver() ---- TUN --- 10.77.0.1

One thread reads IP packets from a TUN device in each namespace and writes them to the other, later,
or twice, or in another order, or never. What a Way does to packets can be set at any time. Its dice
are seeded; which packet is the hundredth is the kernel's choice, so that equal seeds make similar
runs and not the same.

Namespaces have no names and belong to nobody but the descriptors, threads and processes in them:
whatever happens to the test, nothing of them is left.
"""
import collections
import contextlib
import ctypes
import dataclasses
import fcntl
import heapq
import itertools
import math
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000  # <linux/sched.h>
TUNSETIFF = 0x400454CA  # <linux/if_tun.h>
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PACKET_BYTES_MAX = 65536
QUEUE_S = 0.2  # a longer one is cut off at its end, as routers do


class Unavailable(Exception):
    """No namespaces or no TUN devices here; the text says why."""


def check(result: int, what: str) -> None:
    if result != 0:
        raise Unavailable(f"{what}: {os.strerror(ctypes.get_errno())}")


def open_namespace() -> int:
    """A descriptor of the network namespace that the calling thread is in."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Namespace:
    """A network namespace of our own, with a loopback device."""

    def __init__(self) -> None:
        home = open_namespace()
        try:
            check(LIBC.unshare(CLONE_NEWNET), "a network namespace")
            self.descriptor = open_namespace()
            check(LIBC.setns(home, CLONE_NEWNET), "the way back")
        finally:
            os.close(home)
        self.ip("link set lo up")

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets that this thread opens, and processes that it starts, are inside for good."""
        home = open_namespace()
        try:
            check(LIBC.setns(self.descriptor, CLONE_NEWNET), "a namespace")
            yield
        finally:
            check(LIBC.setns(home, CLONE_NEWNET), "the way back")
            os.close(home)

    def ip(self, *commands: str) -> None:
        with self.entered():
            done = subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True,
                                  capture_output=True)
        if done.returncode != 0:
            raise Unavailable(f"ip {commands}: {done.stderr}")

    def open_device(self, address: str) -> int:
        """A TUN device with this address; its descriptor may be used from anywhere."""
        with self.entered():
            try:
                device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"way", IFF_TUN | IFF_NO_PI))
            except OSError as error:
                raise Unavailable(f"/dev/net/tun: {error.strerror}") from error
        self.ip(f"address add {address}/24 dev way", "link set way up")
        return device

    def close(self) -> None:
        os.close(self.descriptor)


@dataclasses.dataclass
class Way:
    """One direction. What it does to packets may be changed while they pass."""

    delay_s: float = 0.0
    bytes_per_s: float = math.inf
    loss: float = 0.0  # probabilities, of each packet
    duplication: float = 0.0
    reordering: float = 0.0  # held back for up to hold_s, so that later ones overtake it
    hold_s: float = 0.02
    is_cut: bool = False
    seed: int = 0
    # What has happened: packets and bytes delivered; packets lost, twice, held, crowded and cut.
    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.free_at = 0.0  # when the last bit of all that waits has left

    def due_times(self, size: int, now: float) -> list[float]:
        """When this packet arrives: never, once or twice."""
        if self.is_cut:
            self.counts["cut"] += 1
            return []
        leaves = max(self.free_at, now) + size / self.bytes_per_s
        if leaves - now > QUEUE_S + size / self.bytes_per_s:
            self.counts["crowded"] += 1
            return []
        self.free_at = leaves
        if self.draw.random() < self.loss:
            self.counts["lost"] += 1
            return []
        due = leaves + self.delay_s
        if self.draw.random() < self.reordering:
            self.counts["held"] += 1
            due += self.draw.uniform(0, self.hold_s)
        if self.draw.random() < self.duplication:
            self.counts["twice"] += 1
            return [due, due]
        return [due]


class Forwarder:
    """Both namespaces and both ways. `up` leads from the clients to the daemon."""

    DAEMON = "10.77.0.1"

    def __init__(self, seed: int = 0) -> None:
        if not shutil.which("ip"):
            raise Unavailable("ip (iproute2) is not installed")
        self.up, self.down = Way(seed=seed), Way(seed=seed + 1)
        self.client_address = "10.77.0.2"
        with contextlib.ExitStack() as ladder:
            self.clients = Namespace()
            ladder.callback(self.clients.close)
            self.daemon = Namespace()
            ladder.callback(self.daemon.close)
            near = self.clients.open_device(self.client_address)
            ladder.callback(os.close, near)
            far = self.daemon.open_device(self.DAEMON)
            ladder.callback(os.close, far)
            self.ladder = ladder.pop_all()
        self.routes = {near: (self.up, far), far: (self.down, near)}
        self.waiting: list[tuple[float, int, Way, int, bytes]] = []  # a heap by due time
        self.ticket = itertools.count()  # packets that are due at one time keep their order
        self.is_closing = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def both(self, **changes: float) -> None:
        """Set fields of both ways."""
        for way in (self.up, self.down):
            for field, value in changes.items():
                setattr(way, field, value)

    def move_clients(self, address: str) -> None:
        """Their machine has another address from now on, and the old one no more."""
        self.clients.ip(f"address del {self.client_address}/24 dev way",
                        f"address add {address}/24 dev way")
        self.client_address = address

    def close(self) -> None:
        self.is_closing = True
        self.thread.join()
        self.ladder.close()

    # --- the thread ---

    def run(self) -> None:
        while not self.is_closing:
            pause = self.waiting[0][0] - time.monotonic() if self.waiting else 0.1
            for device in select.select(list(self.routes), [], [], max(0.0, min(pause, 0.1)))[0]:
                self.take(device)
            self.deliver()

    def take(self, device: int) -> None:
        way, target = self.routes[device]
        with contextlib.suppress(BlockingIOError):
            for _ in range(64):  # then those that are due have their turn
                packet = os.read(device, PACKET_BYTES_MAX)
                for due in way.due_times(len(packet), time.monotonic()):
                    heapq.heappush(self.waiting, (due, next(self.ticket), way, target, packet))

    def deliver(self) -> None:
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            _, _, way, target, packet = heapq.heappop(self.waiting)
            with contextlib.suppress(OSError):  # its queue is full: lost, as anywhere
                os.write(target, packet)
                way.counts["packets"] += 1
                way.counts["bytes"] += len(packet)


def become_root_of_a_namespace() -> None:
    """Where users may have namespaces of their own, start this program again in one."""
    inside = ["unshare", "--map-root-user", "--net"]
    if os.geteuid() != 0 and shutil.which("unshare"):
        if subprocess.run([*inside, "true"], stderr=subprocess.DEVNULL).returncode == 0:
            os.execvp(inside[0], [*inside, sys.executable, *sys.argv])
