"""Reading a YAML file strictly: what YAML would silently take for something else is refused, with its line."""

from pathlib import Path

import yaml

from rfbench.errors import RFBenchError, printable

LARGEST = 1 << 20  # bytes of a file
DEEPEST = 20  # mappings and lists within one another
LONGEST = 40  # digits of a number
MOST = 10_000  # entries, those that aliases repeat counted again


class ConfigError(RFBenchError):
    """A configuration that cannot be run; the message names the key, what was expected and what was found."""


def read_yaml(path: Path) -> object:
    """The content of a YAML file.

    Raises:
        ConfigError: the file is missing, not a regular file, not UTF-8 or no YAML; a key stands twice; a number is
            octal to one YAML and decimal to another; it is nested too deep or repeats itself through aliases.
    """
    text = _text(path)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if problems := _Walk(node).problems:
            raise ConfigError(*(f"{path}, {problem}" for problem in problems))
        return None if node is None else loader.construct_document(node)
    except RecursionError:
        raise ConfigError(f"{path}: expected at most {DEEPEST} levels of lists and mappings, found far more.") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{path}, line {line}: not readable as YAML: the character {error.character:#x}.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{place}: not readable as YAML: {error.problem or error.context}.") from None
    except ValueError as error:  # a date that is none, a number of thousands of digits
        raise ConfigError(f"{path}: not readable as YAML: {error}.") from None


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ConfigError(f"{path}: expected a configuration file, found a pipe or device.")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file; config/ holds the shipped ones.") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: expected a configuration file, found one that cannot be read ({error.strerror})."
        ) from None
    if len(data) > LARGEST:
        raise ConfigError(f"{path}: expected a configuration of at most {LARGEST} bytes, found a larger file.")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        found = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else f"the byte {byte:#x}"
        raise ConfigError(f"{path}, line {line}: expected UTF-8, found {found}. Save the file as UTF-8.") from None


class _Walk:
    """What is wrong with a document, one sentence a problem, from its lines on."""

    def __init__(self, root: yaml.Node | None) -> None:
        self.problems: list[str] = []
        self._sizes: dict[int, int] = {}  # entries of a node, aliases' again; 0 while it is being walked
        if root is not None and self._size(root, 0) > MOST:
            self.problems.append(f"line 1: expected at most {MOST} entries, found more, which aliases repeat.")

    def _size(self, node: yaml.Node, depth: int) -> int:
        line = f"line {node.start_mark.line + 1}"
        if isinstance(node, yaml.ScalarNode):
            self._check_number(node, line)
            return 1
        if depth > DEEPEST:
            raise RecursionError
        if id(node) in self._sizes:
            if not self._sizes[id(node)]:
                self.problems.append(f"{line}: expected a list or mapping, found one that contains itself.")
            return self._sizes[id(node)]
        self._sizes[id(node)] = 0
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
            children = [part for pair in node.value for part in pair]
        else:
            children = node.value
        self._sizes[id(node)] = 1 + sum(self._size(child, depth + 1) for child in children)
        return self._sizes[id(node)]

    def _check_keys(self, node: yaml.MappingNode) -> None:
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            line, name = key.start_mark.line + 1, (key.tag, str(key.value))
            if name in lines:
                self.problems.append(
                    f"line {line}: the key {printable(name[1])} stands in line {lines[name]}, too, which YAML would "
                    "forget. Keep one."
                )
            lines[name] = line

    def _check_number(self, node: yaml.ScalarNode, line: str) -> None:
        digits = node.value.lstrip("+-")
        if node.tag != "tag:yaml.org,2002:int" or node.style is not None or digits == "0":
            return
        if len(digits) > LONGEST:
            self.problems.append(f"{line}: expected a number of at most {LONGEST} digits, found {len(digits)}.")
        elif ":" in digits or (digits[0] == "0" and digits[:2].lower() not in ("0x", "0b")):
            value = yaml.safe_load(node.value)
            self.problems.append(
                f"{line}: {node.value} is {value} to YAML. Write {value}, or '{node.value}' in quotes for the text."
            )
