"""Expressions of a study: names, numbers, strings, comparisons and arithmetic, never ``eval``.

The text is parsed into Python's syntax tree and every node is looked at: what is not listed here
is refused, so an expression can neither call, nor index, nor reach an attribute of an object. A
dotted name is one name: ``train.window``.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from hpcbench.errors import InputError

Values = Mapping[str, Any]
Evaluate = Callable[[Values], Any]

ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, container: item in container,
    ast.NotIn: lambda item, container: item not in container,
}
LONGEST = 500
"""Characters of an expression; longer ones could nest deeper than the parser bears."""

VALID = "names, numbers, quoted strings, lists, comparisons, + - * / // %, and, or, not"


class Expression:
    """One parsed expression.

    Parameters
    ----------
    text
        What the study says.
    place
        File and field, for messages.
    resolve
        Maps a name as written to the key its value is looked up by; raises for unknown names.

    Attributes
    ----------
    names
        Keys the expression depends on.
    """

    def __init__(self, text: str, place: str, resolve: Callable[[str], str]) -> None:
        self.text, self.place, self._resolve = text, place, resolve
        self.names: set[str] = set()
        if len(text) > LONGEST:
            raise InputError(f"{place}: an expression has at most {LONGEST} characters")
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError):
            raise InputError(f'{place}: "{text}" is no expression; valid: {VALID}') from None
        self._evaluate = self._compile(tree.body)

    def __call__(self, values: Values) -> Any:
        """Return the value for some names' values; raise :class:`InputError` when undefined."""
        try:
            result = self._evaluate(values)
        except (TypeError, ZeroDivisionError, OverflowError) as error:
            raise InputError(f'{self.place}: "{self.text}": {error}') from None
        # 64.0 from a division is meant as 64 where a field wants a whole number.
        return int(result) if isinstance(result, float) and result.is_integer() else result

    def _compile(self, node: ast.expr) -> Evaluate:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return lambda values: value
            case ast.Name() | ast.Attribute():
                key = self._resolve(self._dotted(node))
                self.names.add(key)
                return lambda values: values[key]
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                parts = [self._compile(element) for element in elements]
                return lambda values: [part(values) for part in parts]
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                operand = self._compile(inner)
                return lambda values: not operand(values)
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                operand = self._compile(inner)
                return lambda values: -operand(values)
            case ast.BoolOp(op=joint, values=inners):
                conditions = [self._compile(inner) for inner in inners]
                if isinstance(joint, ast.And):
                    return lambda values: all(condition(values) for condition in conditions)
                return lambda values: any(condition(values) for condition in conditions)
            case ast.BinOp(left=first, op=sign, right=second) if type(sign) in ARITHMETIC:
                apply = ARITHMETIC[type(sign)]
                left, right = self._compile(first), self._compile(second)
                return lambda values: apply(_number(left(values)), _number(right(values)))
            case ast.Compare(left=first, ops=signs, comparators=others):
                compare = [COMPARISONS[type(sign)] for sign in signs if type(sign) in COMPARISONS]
                if len(compare) == len(signs):
                    terms = [self._compile(term) for term in (first, *others)]
                    return lambda values: _chain(compare, [term(values) for term in terms])
        shown = ast.unparse(node)
        raise InputError(f'{self.place}: "{self.text}": "{shown}" is not allowed; valid: {VALID}')

    def _dotted(self, node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, ast.Attribute):
            return f"{self._dotted(node.value)}.{node.attr}"
        raise InputError(
            f'{self.place}: "{self.text}": "{ast.unparse(node)}" is no name; valid: {VALID}'
        )


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return value


def _chain(compare: list[Callable[[Any, Any], Any]], terms: list[Any]) -> bool:
    return all(
        test(left, right) for test, left, right in zip(compare, terms, terms[1:], strict=False)
    )
