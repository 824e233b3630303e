"""What differs on one Pi of several: a part of the file that is laid over the rest of it, for that Pi alone.

Nothing is checked here: what comes out is a document like any other. A mistake in it is told with the place
where it really stands (`Document.origins`).
"""

from typing import Any

from inventories.validation import Document, KeyPath, under


def laid_over(document: Document, over: KeyPath, *, depth: int | None = None) -> Document:
    """The document with what stands at `over` in the place of what stands at its top, key by key.

    Groups are merged down to `depth` levels (None: all), below that the whole value is replaced. `over` that
    is no group changes nothing: the model says what is wrong with it.
    """
    above = _at(document.data, over)
    result = Document(
        document.file, document.as_written, document.data, dict(document.lines), dict(document.texts)
    )
    if isinstance(above, dict):
        result.data = _merged(result, document.data, above, over, (), depth)
    return result


def _merged(
    result: Document, base: Any, above: dict[str, Any], over: KeyPath, path: KeyPath, depth: int | None
) -> dict[str, Any]:
    merged = dict(base) if isinstance(base, dict) else {}
    for key, value in above.items():
        there = (*path, key)
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        if both and (depth is None or len(there) <= depth):
            merged[key] = _merged(result, merged[key], value, over, there, depth)
        else:
            _forget(result, there)
            _move(result, (*over, *there), there)
            merged[key] = value
    return merged


def _forget(result: Document, path: KeyPath) -> None:
    for known in (result.lines, result.texts):
        for one in [one for one in known if under(one, path)]:
            del known[one]


def _move(result: Document, origin: KeyPath, path: KeyPath) -> None:
    result.origins[path] = origin
    for known in (result.lines, result.texts):
        moved = {(*path, *one[len(origin) :]): value for one, value in known.items() if under(one, origin)}
        known.update(moved)  # type: ignore[arg-type]


def _at(data: Any, path: KeyPath) -> Any:
    for part in path:
        if not isinstance(data, dict):
            return None
        data = data.get(str(part))
    return data
