"""The changes that can be made to one source file, each in one place. Pure: text in, texts out.

Left alone: annotations, docstrings, messages (texts with a space), imports, decorators, assertions and what is logged.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import singledispatch

_COMPARISONS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
_ARITHMETIC = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
}
_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_ORDERS = {"sorted", "reversed"}
_LOGGERS = {"log", "logger", "logging"}


@dataclass(frozen=True, order=True)
class Change:
    """One place of a file and the text that takes its place."""

    start: int
    """Offset into the UTF-8 bytes of the file."""
    end: int
    line: int
    old: str
    new: str

    def apply(self, source: str) -> str:
        """Return the changed source."""
        content = source.encode()
        return (content[: self.start] + self.new.encode() + content[self.end :]).decode()


def changes(source: str) -> list[Change]:
    """Return every change of a module's source that leaves it a valid module, by place."""
    return [change for change in candidates(source) if is_valid(change.apply(source))]


def candidates(source: str) -> list[Change]:
    """Return the changes by place, a few of which do not leave a valid module: to ask takes as long as to parse the module."""
    tree = ast.parse(source)
    file = _File(source.encode())
    return sorted({change for node in _changeable(tree) for change in _of(node, file) if change.old != change.new})


def is_valid(source: str) -> bool:
    """Whether the source is a module's."""
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


class _File:
    """The bytes of a file, by line and column as `ast` counts them."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._lines = [0]
        for line in content.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def start(self, node: ast.AST) -> int:
        return self._lines[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]

    def end(self, node: ast.AST) -> int:
        return self._lines[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def text(self, node: ast.AST) -> str:
        return self.content[self.start(node) : self.end(node)].decode()

    def replace(self, node: ast.AST, new: str) -> Change:
        return self.between(self.start(node), self.end(node), new)

    def between(self, start: int, end: int, new: str) -> Change:
        line = self.content.count(b"\n", 0, start) + 1
        return Change(start=start, end=end, line=line, old=self.content[start:end].decode(), new=new)

    def swap(self, left: ast.AST, right: ast.AST, old: str, new: str) -> Iterator[Change]:
        """Replace an operator between two operands."""
        start = self.end(left)
        gap = self.content[start : self.start(right)].decode()
        pattern = r"\b" + old.replace(" ", r"\s+") + r"\b" if old[0].isalpha() else re.escape(old)
        if place := re.search(pattern, gap):
            before, after = len(gap[: place.start()].encode()), len(gap[: place.end()].encode())
            yield self.between(start + before, start + after, new)


def _changeable(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes in which a change is a change of behavior."""
    if _is_left_alone(node):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "type_params"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _changeable(child)


def _is_left_alone(node: ast.AST) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Assert() | ast.JoinedStr():
            return True
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            return name.lower().strip("_") in _LOGGERS
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Call(func=ast.Name(id="cast" | "TypeVar")):
            return True
    return False


@singledispatch
def _of(node: ast.AST, file: _File) -> Iterator[Change]:  # noqa: ARG001
    """Yield the changes of one node."""
    yield from ()


@_of.register
def _(node: ast.Compare, file: _File) -> Iterator[Change]:
    operands = [node.left, *node.comparators]
    for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
        yield from file.swap(left, right, *_COMPARISONS[type(operator)])


@_of.register
def _(node: ast.BoolOp, file: _File) -> Iterator[Change]:
    old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
    for left, right in zip(node.values, node.values[1:], strict=False):
        yield from file.swap(left, right, old, new)
    neutral = old == "and"
    for value in node.values:
        if not (
            isinstance(value, ast.Constant) and value.value == neutral
        ):  # `x or 0` and `x or False` are the same number
            yield file.replace(value, str(neutral))


@_of.register
def _(node: ast.BinOp, file: _File) -> Iterator[Change]:
    if pair := _ARITHMETIC.get(type(node.op)):
        yield from file.swap(node.left, node.right, *pair)
    elif isinstance(node.op, ast.BitOr):
        yield file.replace(node, file.text(node.left))


@_of.register
def _(node: ast.UnaryOp, file: _File) -> Iterator[Change]:
    if isinstance(node.op, ast.Not):
        yield file.replace(node, f"({file.text(node.operand)})")


@_of.register(ast.If)
@_of.register(ast.IfExp)
def _(node: ast.If | ast.IfExp, file: _File) -> Iterator[Change]:
    yield file.replace(node.test, "False")
    yield file.replace(node.test, "True")


@_of.register
def _(node: ast.comprehension, file: _File) -> Iterator[Change]:
    for test in node.ifs:
        yield file.replace(test, "True")


@_of.register
def _(node: ast.Constant, file: _File) -> Iterator[Change]:
    match node.value:
        case bool():
            yield file.replace(node, str(not node.value))
        case int():
            yield file.replace(node, str(node.value + 1))
        case float():
            yield file.replace(node, repr(node.value * 1.1 or 0.1))
        case str() if node.value and " " not in node.value:
            yield file.replace(node, repr(node.value + "x"))


@_of.register
def _(node: ast.Call, file: _File) -> Iterator[Change]:
    match node:
        case ast.Call(func=ast.Name(id=name)) if name in _FUNCTIONS:
            yield file.replace(node.func, _FUNCTIONS[name])
        case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in _ORDERS:
            yield file.replace(node, f"list({file.text(first)})")
    for keyword in node.keywords:
        if keyword.arg is not None:
            yield _without(keyword, file)


@_of.register
def _(node: ast.Dict, file: _File) -> Iterator[Change]:
    for key, value in zip(node.keys, node.values, strict=True):
        if key is not None:
            end = _after_comma(file, file.end(value))
            yield file.between(file.start(key), end, "")


@_of.register
def _(node: ast.Subscript, file: _File) -> Iterator[Change]:
    match node.slice:
        case ast.Slice(lower=ast.UnaryOp(op=ast.USub(), operand=count), upper=None, step=None):
            yield file.replace(node.slice, f":{file.text(count)}")
            yield file.replace(node.slice, ":")
        case ast.Slice(lower=None, upper=ast.AST(), step=None):
            yield file.replace(node.slice, ":")
        case ast.Constant(value=0):
            yield file.replace(node.slice, "-1")
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1)):
            yield file.replace(node.slice, "0")


@_of.register(ast.Expr)
@_of.register(ast.Raise)
@_of.register(ast.Continue)
@_of.register(ast.Break)
def _(node: ast.stmt, file: _File) -> Iterator[Change]:
    if not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call | ast.Await):
        yield file.replace(node, "pass")


@_of.register
def _(node: ast.AugAssign, file: _File) -> Iterator[Change]:
    yield file.replace(node, f"{file.text(node.target)} = {file.text(node.value)}")
    yield file.replace(node, "pass")


def _without(keyword: ast.keyword, file: _File) -> Change:
    return file.between(file.start(keyword), _after_comma(file, file.end(keyword)), "")


def _after_comma(file: _File, end: int) -> int:
    """Return the offset behind the comma that follows, or the same offset where none does."""
    place = re.match(rb"\)*\s*,", file.content[end:])
    return end + place.end() if place and not place.group().startswith(b")") else end
