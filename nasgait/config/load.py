"""YAML and ``key=value`` overrides to a validated dataclass, and back.

All faults are reported at once, in one :class:`ConfigError` of one line: file,
dotted path of the key, what is allowed.  Unlike plain PyYAML a key
given twice is refused, ``1e-4`` is a number, and a date is just text.
"""

import json
import re
import sysconfig
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from nasgait.config.faults import fault, kind_of, suggest
from nasgait.config.renamed import with_new_keys
from nasgait.config.schema import ExperimentConfig
from nasgait.core.errors import ConfigError

T = TypeVar("T")

# YAML 1.1, which PyYAML follows, wants a dot and a signed exponent in a float.
_FLOAT = re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$")
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
MOST_VALUES = 100_000
"""Values in a configuration at most, which keeps anchors of anchors from filling the memory."""


class _Loader(yaml.SafeLoader):
    """Safe loader that notes keys given twice in the same mapping."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.duplicates: list[tuple[int, str]] = []

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose one mapping and note the lines that repeat a key of it."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    self.duplicates.append((key.start_mark.line + 1, key.value))
                seen.add(key.value)
        return node


class _Dumper(yaml.SafeDumper):
    """Safe dumper that quotes what :class:`_Loader` would not read as text."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Quote text with rare line breaks, which PyYAML would fold away."""
    style = '"' if re.search("[\x85\u2028\u2029]", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent_text)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def parse_yaml(text: str, origin: str) -> Any:
    """Parse one YAML document; ``origin`` (a file, say) opens the error line.

    Raises ConfigError when the text is not YAML, or a mapping gives a key twice.
    """
    try:
        loader = _Loader(text)
        try:
            data = loader.get_single_data()
        finally:
            loader.dispose()
        # Anchors share objects and YAML knows types beyond JSON's: both end here.
        if _size(data, {}) > MOST_VALUES:
            raise ValueError(f"its anchors stand for more than {MOST_VALUES} values")
        data = json.loads(json.dumps(data))
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{origin}{line}: not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin}: not YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise ConfigError(f"{origin}: not a plain configuration: nested too deeply") from None
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        # Beside json, PyYAML raises these for a tag (!!bool, !!int) that its value does not fit.
        raise ConfigError(
            f"{origin}: not a plain configuration: {type(error).__name__}: {error}"
        ) from None
    if loader.duplicates:
        faults = [f"{origin}:{line}: key {key!r} given twice" for line, key in loader.duplicates]
        raise ConfigError("; ".join(faults))
    return data


def _size(value: Any, known: dict[int, int]) -> int:
    """Values in a parsed document, shared ones as often as they appear; quick, unlike a copy."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(one, known) for one in inner)
    return known[id(value)]


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping; ConfigError if it cannot be read as one."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    data = parse_yaml(text, str(path))
    if not isinstance(data, dict):
        found = "the file is empty" if data is None else f"found a {kind_of(data)}"
        raise ConfigError(f"{path}: must hold a mapping of keys to values, but {found}")
    return data


def config_folders() -> list[Path]:
    """Folders that hold the experiments known by a bare name, most specific first.

    Each has a folder ``published``, with the recipes of published systems.
    """
    installed = [
        sysconfig.get_path("data"),
        sysconfig.get_path("data", sysconfig.get_preferred_scheme("user")),
    ]
    checkout = Path(__file__).resolve().parents[2] / "configs"
    places = [checkout, *(Path(root) / "share" / "nasgait" / "configs" for root in installed)]
    return [folder for place in places for folder in (place, place / "published")]


def find_config(path_or_name: str | Path) -> Path:
    """The file itself, or that of the named experiment (``demo``); ConfigError without either."""
    path = Path(path_or_name).expanduser()
    if path.is_file() or path.suffix or len(path.parts) != 1:
        return path
    folders = config_folders()
    for folder in folders:
        candidate = folder / f"{path.name}.yaml"
        if candidate.is_file():
            return candidate
    names = sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
    raise ConfigError(f"{path}: neither a file nor a known experiment{suggest(path.name, names)}")


def validate(data: Any, schema: type[T], origin: str) -> T:
    """Turn plain data into the frozen dataclass ``schema``.

    Raises ConfigError naming every fault, each with its dotted path.
    """
    try:
        return typing.cast(T, _adapter(schema).validate_json(json.dumps([data]))[0])
    except ValidationError as error:
        faults = [fault(dict(entry), schema) for entry in error.errors(include_url=False)]
        raise ConfigError(f"{origin}: {'; '.join(faults)}") from None


def changed(section: T, changes: Mapping[str, Any], origin: str) -> T:
    """A section of a configuration with other values for some of its keys, however deep.

    Raises ConfigError naming every fault of ``changes``, behind ``origin``.
    """
    (data,) = _adapter(type(section)).dump_python((section,), mode="json")
    return validate(_merged(data, changes), type(section), origin)


def _merged(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(data)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _merged(old, value)
        merged[key] = value
    return merged


@overload
def load_config(
    path_or_name: str | Path, overrides: Sequence[str] = ()
) -> ExperimentConfig: ...  # pragma: no cover
@overload
def load_config(
    path_or_name: str | Path, overrides: Sequence[str] = (), *, schema: type[T]
) -> T: ...  # pragma: no cover


def load_config(
    path_or_name: str | Path, overrides: Sequence[str] = (), schema: Any = ExperimentConfig
) -> Any:
    """Read a configuration, apply ``key=value`` overrides, validate it.

    Args:
        path_or_name: a YAML file, or the bare name of one in ``configs/``.
        overrides: ``supernet.steps=500``, ``baselines.0.model=gaitset``; the value is YAML, the
            key a dotted path with numbers for list entries.
        schema: the dataclass to fill.

    Raises ConfigError naming every fault of file and overrides.
    """
    path = find_config(path_or_name)
    data = read_yaml(path)
    faults = []
    for override in overrides:
        try:
            _apply(data, override)
        except ConfigError as error:
            faults.append(str(error))
    try:
        config = validate(data, schema, str(path))
    except ConfigError as error:
        faults.insert(0, str(error))
    if faults:
        raise ConfigError("; ".join(faults))
    return config


def load_recorded(path: Path) -> ExperimentConfig:
    """The configuration that an output directory records; renamed keys are understood.

    Raises ConfigError naming every fault.
    """
    return validate(with_new_keys(read_yaml(path)), ExperimentConfig, str(path))


def dump_config(config: Any) -> str:
    """Write a validated dataclass as YAML that loads back to an equal one."""
    (data,) = _adapter(type(config)).dump_python((config,), mode="json")
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _adapter(schema: type[Any]) -> TypeAdapter[Any]:
    """Strict: quoted numbers, ``yes`` for a count, infinities and unknown keys are faults.

    The one-tuple around the dataclass lets pydantic hand the settings down to it.
    """
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return TypeAdapter(tuple[schema], config=config)  # type: ignore[valid-type]


def _apply(data: dict[str, Any], override: str) -> None:
    """Set one dotted key of plain data, making the sections on its way."""
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"override {override!r}: write it as key=value, e.g. supernet.steps=500")
    value = parse_yaml(text, f"override {override!r}")
    here: Any = data
    for depth, key in enumerate(keys):
        slot = _slot(here, key, override, ".".join(keys[:depth]))
        if depth == len(keys) - 1:
            here[slot] = value
        else:
            if here[slot] is None:
                here[slot] = [] if keys[depth + 1].isdecimal() else {}
            here = here[slot]


def _slot(container: Any, key: str, override: str, path: str) -> Any:
    """Return the dict key or list index named by ``key``, made (None) if it is new."""
    if isinstance(container, dict):
        container.setdefault(key, None)
        return key
    if isinstance(container, list):
        if not key.isdecimal() or int(key) > len(container):
            raise ConfigError(
                f"override {override!r}: {path} is a list of {len(container)}, "
                f"so {key!r} must be a number from 0 to {len(container)}"
            )
        if int(key) == len(container):
            container.append(None)
        return int(key)
    raise ConfigError(f"override {override!r}: {path} is a {kind_of(container)}, it has no keys")
