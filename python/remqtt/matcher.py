"""Values filed under topic filters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class MQTTMatcher:
    """A mapping from topic filters to values, made for the question which filters a topic matches."""

    class Node:
        """One level of the filters."""

        __slots__ = ("_children", "_content")

        def __init__(self) -> None:
            self._children: dict[str, MQTTMatcher.Node] = {}
            self._content: Any = None

    def __init__(self) -> None:
        self._root = self.Node()

    def __setitem__(self, key: str, value: Any) -> None:
        """Files `value` under the filter `key`."""
        node = self._root
        for level in key.split("/"):
            node = node._children.setdefault(level, self.Node())
        node._content = value

    def __getitem__(self, key: str) -> Any:
        """The value under the filter `key`."""
        node: MQTTMatcher.Node | None = self._root
        for level in key.split("/"):
            node = node._children.get(level) if node is not None else None
        if node is None or node._content is None:
            raise KeyError(key)
        return node._content

    def __delitem__(self, key: str) -> None:
        """Removes the filter `key`."""
        path: list[tuple[MQTTMatcher.Node, str]] = []
        node = self._root
        for level in key.split("/"):
            path.append((node, level))
            if level not in node._children:
                raise KeyError(key)
            node = node._children[level]
        if node._content is None:
            raise KeyError(key)
        node._content = None
        for parent, level in reversed(path):
            child = parent._children[level]
            if child._children or child._content is not None:
                break
            del parent._children[level]

    def iter_match(self, topic: str) -> Iterator[Any]:
        """The values of the filters that match `topic`. [MQTT-4.7.2-1]"""
        levels = topic.split("/")
        wildcards_at_the_top = not topic.startswith("$")

        def matches(node: MQTTMatcher.Node, depth: int) -> Iterator[Any]:
            wild = depth > 0 or wildcards_at_the_top
            if depth == len(levels):
                if node._content is not None:
                    yield node._content
            else:
                if levels[depth] in node._children:
                    yield from matches(node._children[levels[depth]], depth + 1)
                if wild and "+" in node._children:
                    yield from matches(node._children["+"], depth + 1)
            # "a/#" matches "a" as well.
            if wild and "#" in node._children:
                content = node._children["#"]._content
                if content is not None:
                    yield content

        return matches(self._root, 0)
