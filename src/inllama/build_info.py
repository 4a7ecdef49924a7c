"""What this copy of inllama is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from inllama import _build_config


@dataclass(frozen=True)
class BuildInfo:
    """How this copy was built.

    Attributes:
        version: Of inllama.
        llama_cpp_commit: The commit of llama.cpp, or how its tree was given.
        llama_cpp_date: The day of the pinned commit.
        llama_cpp_version: llama.cpp's own version.
        xgrammar_version: The release of xgrammar, or how its tree was given.
        backend: ``cpu``, ``cuda``, ``metal`` or ``vulkan``.
        native: Whether it was compiled for the CPU of the building machine.
        cpu_features: Instruction sets that the CPU must have, in the spelling of ``/proc/cpuinfo``.
        compiler: Name and version.
        build_type: CMake's.
        system: Operating system and architecture.
        cmake_args: The ``CMAKE_ARGS`` of the build.
    """

    version: str
    llama_cpp_commit: str
    llama_cpp_date: str
    llama_cpp_version: str
    xgrammar_version: str
    backend: str
    native: bool
    cpu_features: tuple[str, ...]
    compiler: str
    build_type: str
    system: str
    cmake_args: str

    def to_dict(self) -> dict[str, object]:
        """Return the same as plain data."""
        return asdict(self)


def build_info() -> BuildInfo:
    """Return versions, commits, flags, backend and CPU features of this build; starts nothing."""
    return BuildInfo(
        version=_build_config.VERSION,
        llama_cpp_commit=_build_config.LLAMA_CPP_COMMIT,
        llama_cpp_date=_build_config.LLAMA_CPP_DATE,
        llama_cpp_version=_build_config.LLAMA_CPP_VERSION,
        xgrammar_version=_build_config.XGRAMMAR_VERSION,
        backend=_build_config.BACKEND,
        native=_build_config.NATIVE,
        cpu_features=_build_config.CPU_FEATURES,
        compiler=_build_config.COMPILER,
        build_type=_build_config.BUILD_TYPE,
        system=_build_config.SYSTEM,
        cmake_args=_build_config.CMAKE_ARGS,
    )
