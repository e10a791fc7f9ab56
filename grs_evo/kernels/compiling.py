"""How functions are compiled: as entry points with machine code of their own, or as parts of these.

Numba optimises each function, turns it into machine code and writes it to the cache, and then links it into its callers
and does the same again there. A `part` is only ever code inside its callers: it is typed and lowered once in a process,
and optimised where it is used. An `entry` is what is kept in the cache.

Numba's front end, in Python, is most of the time of a first run. What makes it shorter: fewer passes (the ones left out
serve closures, `with`, mixed containers and array expressions), no analysis of the whole function after each of them,
answers about the types of calls and operators that are remembered, subscripts in few instructions (`subscripts`), and
no search for cycles of garbage meanwhile. LLVM goes over each entry point once.

Processes that share a cache folder (ranks, the workers of a test run, `grs-evo warm-up`) do not compile the same
function at the same time: who is second waits, and loads it.
"""

from __future__ import annotations

import gc
import operator
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from numba import config, njit, types
from numba.core import event, typed_passes, untyped_passes
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.cpu import CPUContext
from numba.core.ir import UNDEFINED
from numba.core.lowering import Lower
from numba.core.runtime import rtsys
from numba.core.typing import Context

from grs_evo.kernels.subscripts import subscript


class _Remembering(Context):
    """A typing context that remembers what functions return for which arguments; else the one it stands for."""

    @staticmethod
    def of(context: Context) -> _Remembering:
        same = object.__new__(_Remembering)
        same.__dict__ = context.__dict__
        return same

    def _resolve_user_function_type(self, func: Any, args: Any, kws: Any, literals: Any = None) -> Any:
        function = self._lookup_global(func) or func
        if type(function) is not types.Function or kws:
            return super()._resolve_user_function_type(func, args, kws, literals)
        # kept with the function's type, which also holds the implementations that were found on the way
        found, given = function.__dict__.setdefault("_resolved", {}), tuple(args)
        if given not in found:
            found[given] = super()._resolve_user_function_type(func, args, kws, literals)
        return found[given]


class _Passes(PassManager):
    """A pipeline whose functions are not analysed anew after each of its passes: those that need it do that."""

    _ENFORCING = False


# What arrays are asked for at each subscript and have not.
_WITHOUT = ("static_getitem", "static_setitem", "__array__")


class _Direct(CPUContext):
    """A target context that writes subscripts in few instructions; else the one it stands for.

    Nor does it look through all registries each time an array has none of `_WITHOUT`.
    """

    @staticmethod
    def of(context: CPUContext) -> _Direct:
        same = object.__new__(_Direct)
        same.__dict__ = context.__dict__
        return same

    def get_function(self, fn: Any, sig: Any, _firstcall: bool = True) -> Any:
        written = subscript(self, fn, sig)
        return written or super().get_function(fn, sig, _firstcall=_firstcall and fn not in _WITHOUT)

    def get_abi_sizeof(self, ty: Any) -> int:
        """Bytes of a type, found out once: LLVM takes a module of text to tell."""
        name = str(ty)
        if name not in _SIZES:
            _SIZES[name] = super().get_abi_sizeof(ty)
        return _SIZES[name]


_SIZES: dict[str, int] = {}


class _Lower(Lower):
    """Lowering that remembers what operators and subscripts return for which types, which inference has found."""

    def _typed(self, operation: Any, signature: Any) -> tuple[Any, Any]:
        """The function type of an operation, and its signature for the types that a call was found to have."""
        typing = _Remembering.of(self.context.typing_context)
        function = typing.resolve_value_type(operation)
        return function, typing.resolve_function_type(function, signature.args, {})

    def _cast(self, names: Sequence[Any], signature: Any) -> list[Any]:
        """Values of variables as the types that a signature has."""
        return [
            self.context.cast(self.builder, self.loadvar(one.name), self.typeof(one.name), kind)
            for one, kind in zip(names, signature.args, strict=True)
        ]

    def lower_binop(self, resty: Any, expr: Any, op: Any) -> Any:
        if expr.static_lhs is not UNDEFINED or expr.static_rhs is not UNDEFINED:
            return super().lower_binop(resty, expr, op)
        signature = self.fndesc.calltypes[expr]
        function, found = self._typed(op, signature)
        given = self._cast((expr.lhs, expr.rhs), signature)
        result = self.context.get_function(function, found)(self.builder, given)
        return self.context.cast(self.builder, result, signature.return_type, resty)

    def lower_getitem(self, resty: Any, expr: Any, value: Any, index: Any, signature: Any) -> Any:
        function, found = self._typed(operator.getitem, signature)
        given = self._cast((value, index), signature)
        result = self.context.get_function(function, found)(self.builder, given)
        return self.context.cast(self.builder, result, signature.return_type, resty)


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(typed_passes.NativeLowering):
    _name = "kernel_lowering"

    @property
    def lowering_class(self) -> type[Lower]:
        return _Lower


class _Nowhere:
    """In place of the code generator of a library without machine code: nobody asks for addresses in it."""

    def set_env(self, *_: Any) -> None:
        pass


class PartLibrary(JITCodeLibrary):
    """Code that exists inside its callers only: neither optimised nor turned into machine code by itself."""

    _linking_libraries: list[Any]

    @property
    def codegen(self) -> _Nowhere:
        return _Nowhere()

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def finalize(self) -> None:
        self._raise_if_finalized()
        self._finalize_dynamic_globals()
        self._finalized = True

    def own_module(self) -> Any:
        return super()._get_module_for_linking()

    def _get_module_for_linking(self) -> Any:
        raise RuntimeError(f"{self.name} is part of a kernel: only functions made by `entry` and its kin may call it")

    def get_pointer_to_function(self, name: str) -> int:
        return 0


class EntryLibrary(JITCodeLibrary):
    """Code of an entry point and of all its parts, which is optimised here."""

    _linking_libraries: list[Any]

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout  # the whole module is optimised, once, in the end

    def _optimize_final_module(self) -> None:
        """In one round; Numba has another one before it, which serves counts of references.

        Without the vectoriser of loops compiling takes half a second less, and swaps on a lattice 1.4 times as long.
        """
        made = self._codegen._module_pass_manager()
        if isinstance(made, tuple):
            manager, builder = made
            manager.run(self._final_module, builder)
        else:  # before Numba 0.61
            made.run(self._final_module)

    def finalize(self) -> None:
        found: dict[Any, None] = {}
        _collect(self._linking_libraries, found)
        module, own = self._final_module, []
        for library in found:
            if isinstance(library, PartLibrary):
                part = library.own_module()
                own += [function.name for function in part.functions if not function.is_declaration]
                module.link_in(part, preserve=True)
        for name in own:  # nobody else needs them: each may go where it is called
            function = module.get_function(name)
            function.linkage = "internal"
            if any(one in name for one in _APART):
                function.add_function_attribute("noinline")
        self._linking_libraries = [library for library in found if not isinstance(library, PartLibrary)]
        super().finalize()


def _collect(libraries: Any, found: dict[Any, None]) -> None:
    """Libraries, and what the parts among them link in turn, each once."""
    for library in libraries:
        if library not in found:
            found[library] = None
            if isinstance(library, PartLibrary):
                _collect(library._linking_libraries, found)


class _Compiler(CompilerBase):
    """Numba's pipeline without the passes that the kernels do not need."""

    library = JITCodeLibrary

    def __init__(
        self, typingctx: Any, targetctx: Any, library: Any, args: Any, return_type: Any, flags: Any, locals: Any
    ) -> None:
        own = _Remembering.of(typingctx), _Direct.of(targetctx)
        super().__init__(*own, library, args, return_type, flags, locals)

    def compile_extra(self, func: Any) -> Any:
        if self.state.library is None:
            self.state.library = self.library(self.state.targetctx.codegen(), func.__qualname__)
            self.state.library.enable_object_caching()
        return super().compile_extra(func)

    def define_pipelines(self) -> list[PassManager]:
        manager = _Passes("kernels")
        for each, why in (
            (untyped_passes.TranslateByteCode, "analyzing bytecode"),
            (untyped_passes.FixupArgs, "fix up args"),
            (untyped_passes.IRProcessing, "processing IR"),
            (untyped_passes.GenericRewrites, "nopython rewrites"),
            (untyped_passes.DeadBranchPrune, "dead branch pruning"),
            (untyped_passes.ReconstructSSA, "ssa"),
            (typed_passes.NopythonTypeInference, "nopython frontend"),
            (typed_passes.PreLowerStripPhis, "remove phis nodes"),
            (typed_passes.InlineOverloads, "inline overloaded functions"),
            (typed_passes.NoPythonSupportedFeatureValidation, "ensure features that are in use are in a valid form"),
            (typed_passes.IRLegalization, "ensure IR is legal prior to lowering"),
            (typed_passes.AnnotateTypes, "annotate types"),
            (_Lowering, "native lowering"),
            (typed_passes.NoPythonBackend, "nopython mode backend"),
        ):
            manager.add_pass(each, why)
        manager.finalize()
        return [manager]


class PartCompiler(_Compiler):
    library = PartLibrary


class EntryCompiler(_Compiler):
    library = EntryLibrary


class Meter(event.Listener):
    """What this process compiled for the cache, and for how long; while it compiles no garbage is collected.

    Compiling makes millions of objects, few of them garbage in cycles.
    """

    def __init__(self) -> None:
        self.functions = 0  # written to the cache
        self.seconds = 0.0
        self.since = 0.0  # time.monotonic() when what is compiled now was begun; 0: nothing is
        self._depth = 0
        self._collecting = False

    def on_start(self, event: Any) -> None:
        if self._depth == 0:
            self._collecting = gc.isenabled()
            gc.disable()
            self.since = time.monotonic()
        self._depth += 1

    def on_end(self, event: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            if self._collecting:
                gc.enable()
            self.seconds += time.monotonic() - self.since
            self.since = 0.0


METER = Meter()
event.register("numba:compile", METER)


class _SharedCache(FunctionCache):
    """A function's cache, in which one process at a time compiles it."""

    _claim = -1  # file descriptor of the lock that says so

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found: Any = None
        # What is in the cache runs without the fifty modules that Numba imports before it compiles (0.3 s).
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            found = self._load_overload(sig, target_context)
        if found is None:
            self._wait()
            found = super().load_overload(sig, target_context)  # somebody else may have compiled it meanwhile
            if found is not None:
                self._release()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        super().save_overload(sig, data)
        self._release()
        METER.functions += 1

    def _wait(self) -> None:
        """Claim the function, when nobody else compiles it any more."""
        self._release()
        try:
            import fcntl
        except ImportError:  # not on Windows
            return
        begun = time.monotonic()
        with suppress(OSError):  # no locks on this file system: compile beside each other
            self._claim = os.open(f"{self.cache_path}/{self._impl.filename_base}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            while time.monotonic() - begun < _PATIENCE:
                try:
                    fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(_PAUSE)

    def _release(self) -> None:
        if self._claim >= 0:
            os.close(self._claim)
            self._claim = -1


# s to wait for another process that compiles a function, after which it is compiled here all the same: it may hang.
_PATIENCE = 120.0
_PAUSE = 0.05


def _kept(**options: Any) -> Callable[[Any], Any]:
    """A decorator of functions that are kept in the shared cache."""
    compiled = njit(pipeline_class=EntryCompiler, error_model="numpy", no_cfunc_wrapper=True, **options)

    def decorate(function: Any) -> Any:
        made = compiled(function)
        if not config.DISABLE_JIT:
            made._cache = _SharedCache(function)
        return made

    return decorate


_PART = {"pipeline_class": PartCompiler, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

# Called by compiled code only. Arrays need no reference counts where nothing is allocated: counting them, two atomic
# operations each time one is touched, took more time than most functions.
inner = njit(**_PART, _nrt=False)
# The same for functions that allocate, or draw random numbers.
inner_allocating = njit(**_PART)
_APART: set[str] = set()  # their names as LLVM has them, as far as these do not depend on types


def apart(function: Any) -> Any:
    """`inner` for loops that need all registers: it stays a function of its own in its callers."""
    _APART.add("".join(f"{len(part)}{part}" for part in (*function.__module__.split("."), function.__qualname__)))
    return inner(function)


# Called from Python. `entry`: allocates nothing and lets threads of Python run beside it; `entry_locked`: without the
# latter, for short calls; `entry_allocating` and `entry_beside` are the same for functions that allocate.
entry = _kept(nogil=True, _nrt=False)
entry_locked = _kept(_nrt=False)
entry_allocating = _kept()
entry_beside = _kept(nogil=True)
# `entry_allocating` for tests and benchmarks, which look at parts alone: not kept.
probe = njit(pipeline_class=EntryCompiler, error_model="numpy", no_cfunc_wrapper=True)
