"""What a name stands for in a module, however it was imported."""

import ast


def full_names(tree: ast.AST) -> dict[str, str]:
    """Names that imports bind -> what they stand for: `from time import time as now` binds `now`
    to `time.time`, `import os.path` binds `os` to itself."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                top = each.name.partition(".")[0]
                names[each.asname or top] = each.name if each.asname else top
        if isinstance(node, ast.ImportFrom) and not node.level:
            for each in node.names:
                names[each.asname or each.name] = f"{node.module}.{each.name}"
    return names


def named(node: ast.AST, names: dict[str, str]) -> str | None:
    """`datetime.now` as `datetime.datetime.now`; None for what is no name with dots."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        before = named(node.value, names)
        return before and f"{before}.{node.attr}"
    return None
