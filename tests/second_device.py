"""A second device that lives on the CPU: device faults show on machines without a GPU.

PyTorch's place for backends of others ("PrivateUse1") is registered as the device "twin". Within
`SecondDevice` its tensors hold CPU tensors, and every operation on them is computed on the CPU, but
by the rules of a real device:

- an operation on tensors of both devices raises RuntimeError, apart from CPU numbers (0 axes);
- `.numpy()` of a tensor on the device raises;
- transfers either way are recorded, explicit (`.cpu()`, `.to(device)`) and implicit (`.item()`,
  `.tolist()`, `if tensor:`, `new_tensor([...])`, indices from the CPU);
- operations whose result has a data-dependent shape are recorded: a GPU must be waited for;
- all operations can be recorded with shapes and numbers, so that a test can compare chunks.

It does not check memory, streams, kernels that exist only on one device, or speed.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

NAME = "twin"
PACKAGE = Path(__file__).parents[1] / "facetrack"
_ATEN = torch.ops.aten
_READS = {_ATEN._local_scalar_dense.default, _ATEN.equal.default, _ATEN.is_nonzero.default}
"""Operations that return a number to Python."""
_WAITS = {
    *(_ATEN.nonzero.default, _ATEN.masked_select.default, _ATEN.bincount.default),
    *(_ATEN._unique2.default, _ATEN.unique_dim.default, _ATEN.unique_consecutive.default),
    *(_ATEN.repeat_interleave.Tensor,),
}
"""Operations whose result has a shape that depends on the data."""
_INDEXING = {_ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default}
_FRESH = {_ATEN.lift_fresh.default, _ATEN.lift_fresh_copy.default}


_AUTOCAST = "AutocastPrivateUse1"
_MULTIPLYING = (
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d.input", "linear"),
    *("matmul", "mm", "bmm", "addmm", "baddbmm", "scaled_dot_product_attention"),
)
"""Operations that autocast computes in the lower precision."""
_LIBRARIES: list[torch.library.Library] = []


class Event(NamedTuple):
    """Something that makes the device and the CPU wait for each other.

    Attributes:
        kind: "upload", "download" or "wait".
        what: the operation, and the shape of its first tensor.
        where: file and line of the package.
    """

    kind: str
    what: str
    where: str


class DeviceTensor(Tensor):
    """A tensor on the second device."""

    host: Tensor

    @staticmethod
    def __new__(cls, host: Tensor) -> DeviceTensor:
        # A view of an ordinary tensor is an ordinary tensor, in inference mode too.
        with torch.inference_mode(host.is_inference()):
            made: DeviceTensor = Tensor._make_wrapper_subclass(
                cls,
                host.shape,
                strides=host.stride(),
                storage_offset=host.storage_offset(),
                dtype=host.dtype,
                layout=host.layout,
                device=DEVICE,
                requires_grad=host.requires_grad,
            )
        made.host = host
        return made

    def __init__(self, host: Tensor) -> None:
        super().__init__()

    def __repr__(self, **_: Any) -> str:
        return f"DeviceTensor({self.host!r})"

    def tolist(self) -> Any:
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        raise RuntimeError("a tensor of the second device is used outside of it")


class _Module:
    """What PyTorch expects of a backend's module, `torch.twin`."""

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def device_count() -> int:
        return 1

    @staticmethod
    def current_device() -> int:
        return 0

    @staticmethod
    def _is_in_bad_fork() -> bool:
        return False

    @staticmethod
    def _lazy_init() -> None:
        return None

    @staticmethod
    def manual_seed_all(seed: int) -> None:
        return None

    @staticmethod
    def get_amp_supported_dtype() -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


def _register() -> torch.device:
    """Register the device and its rules of autocast, once per process."""
    if not hasattr(torch, NAME):
        backend_registration._setup_privateuseone_for_python_backend(NAME, _Module())
        everything = torch.library.Library("_", "IMPL", _AUTOCAST)
        everything.fallback(torch.library.fallthrough_kernel)
        multiplying = torch.library.Library("aten", "IMPL", _AUTOCAST)
        for name in _MULTIPLYING:
            packet, _, overload = name.partition(".")
            operation = getattr(getattr(_ATEN, packet), overload or "default")
            multiplying.impl(name, _cast(operation))
        _LIBRARIES.extend([everything, multiplying])
    return torch.device(NAME, 0)


def _cast(operation: Any) -> Any:
    """Return an operation that first rounds its float32 inputs, as autocast does on a GPU."""

    def call(*args: Any, **kwargs: Any) -> Any:
        key = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, _AUTOCAST))
        with torch._C._ExcludeDispatchKeyGuard(key):
            dtype = torch.get_autocast_dtype(NAME)
            args, kwargs = tree_map_only(
                Tensor, lambda x: x.to(dtype) if x.is_floating_point() else x, (args, kwargs)
            )
            return operation(*args, **kwargs)

    return call


IS_SUPPORTED = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")
"""Whether this PyTorch lets Python register a device (2.10 and later)."""
DEVICE = _register() if IS_SUPPORTED else torch.device("cpu")


class SecondDevice(TorchDispatchMode):
    """The device; use as a context manager.

    Attributes:
        events: what made device and CPU wait for each other, in order.
        operations: name, shapes and numbers of every operation on the device, if `keep` is True.
    """

    def __init__(self, keep: bool = False) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.operations: list[str] = []
        self.keep = keep
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> SecondDevice:
        future = torch.__future__
        lifts = torch._C._only_lift_cpu_tensors()
        self._before.append((lifts, future.get_overwrite_module_params_on_conversion()))
        # `torch.tensor(..., device=...)` then creates a CPU tensor and copies it, which is seen.
        torch._C._set_only_lift_cpu_tensors(True)
        # `Module.to` then makes new parameters; the data within a parameter cannot be exchanged.
        future.set_overwrite_module_params_on_conversion(True)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        lifts, overwrites = self._before.pop()
        torch._C._set_only_lift_cpu_tensors(lifts)
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)

    def clear(self) -> None:
        """Forget what was recorded."""
        self.events.clear()
        self.operations.clear()

    def count(self, kind: str) -> int:
        """Return the number of events of a kind."""
        return sum(event.kind == kind for event in self.events)

    @contextmanager
    def recorded(self) -> Iterator[tuple[list[Event], list[str]]]:
        """Yield lists that hold the events and operations of a block after it."""
        self.clear()
        events: list[Event] = []
        operations: list[str] = []
        yield events, operations
        events += self.events
        operations += self.operations

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func._can_decompose():  # in inference mode, composite operations arrive whole
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        flat, structure = tree_flatten((args, kwargs))
        tensors = [x for x in flat if isinstance(x, Tensor)]
        on_device = [x for x in tensors if isinstance(x, DeviceTensor)]
        wanted = kwargs.get("device")
        is_wanted = wanted is not None and torch.device(wanted).type == DEVICE.type
        result_on_device = is_wanted or (wanted is None and bool(on_device))
        if func in _FRESH or not (on_device or is_wanted):
            return func(*args, **kwargs)
        if func is _ATEN._fused_sdp_choice.default:
            return 0  # the mathematical definition, which every device has
        self._check(func, tensors, on_device, args, wanted, is_wanted)
        if self.keep:
            self.operations.append(_signature(func, flat))
        hosts = [x.host if isinstance(x, DeviceTensor) else x for x in flat]
        args, kwargs = tree_unflatten(hosts, structure)
        if wanted is not None:
            kwargs["device"] = torch.device("cpu")
            kwargs.pop("pin_memory", None)
        result = func(*args, **kwargs)
        if not result_on_device:
            return result
        known = {id(x.host): x for x in on_device}  # an operation in place returns its input

        def on_this_device(x: Tensor) -> Tensor:
            if id(x) in known:
                return known[id(x)]
            # The conjugate of a CPU tensor is a mark on it that would not be seen from outside.
            return DeviceTensor(x.resolve_conj().resolve_neg())

        return tree_map_only(Tensor, on_this_device, result)

    def _check(
        self,
        func: Any,
        tensors: list[Tensor],
        on_device: list[DeviceTensor],
        args: Any,
        wanted: Any,
        is_wanted: bool,
    ) -> None:
        """Raise for what no device allows; record what makes the two wait."""
        if on_device and func.namespace not in ("aten", "prims", "prim"):
            raise RuntimeError(f"{func} exists on the CPU only")
        is_copy = func in (_ATEN._to_copy.default, _ATEN.copy_.default)
        if func is _ATEN._to_copy.default:
            if wanted is not None and is_wanted != bool(on_device):
                self._record("upload" if is_wanted else "download", func, tensors)
        elif func is _ATEN.copy_.default and len(on_device) == 1:
            uploads = isinstance(tensors[0], DeviceTensor)
            self._record("upload" if uploads else "download", func, tensors)
        elif func in _READS:
            self._record("download", func, tensors)
        elif func in _WAITS:
            self._record("wait", func, tensors)
        if func in _INDEXING:
            indices = [index for index in args[1] if index is not None]
            if any(index.dtype == torch.bool and index.ndim for index in indices):
                self._record("wait", func, tensors)
            if not all(isinstance(index, DeviceTensor) for index in indices):
                self._record("upload", func, tensors)
            tensors = [x for x in tensors if not any(x is index for index in indices)]
        if is_copy or not on_device:
            return
        strangers = [x for x in tensors if not isinstance(x, DeviceTensor) and x.ndim]
        if strangers:
            shapes = ", ".join(str(tuple(x.shape)) for x in strangers)
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but {func} found tensors on "
                f"{DEVICE} and on cpu, {shapes}"
            )

    def _record(self, kind: str, func: Any, tensors: list[Tensor]) -> None:
        shape = tuple(tensors[0].shape) if tensors else ()
        self.events.append(Event(kind, f"{func} {shape}", _place()))


def _place() -> str:
    """Return the innermost line of the package that is being executed."""
    for frame in reversed(traceback.extract_stack()):
        path = Path(frame.filename)
        if PACKAGE in path.parents:
            return f"{path.relative_to(PACKAGE).as_posix()}:{frame.lineno}"
    return ""


def _signature(func: Any, flat: list[Any]) -> str:
    """Return an operation with the shapes and numbers that a captured graph would repeat."""
    parts = [
        f"{tuple(x.shape)}{x.dtype}".replace("torch.", "") if isinstance(x, Tensor) else repr(x)
        for x in flat
    ]
    return f"{func}({', '.join(parts)})"
