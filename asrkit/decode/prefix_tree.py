"""Every prefix that a search has met, as a node of a tree."""

from __future__ import annotations

from asrkit.data.tokens import TokenTable

ROOT = 0


class PrefixTree:
    """Every prefix met so far as one node each, so that equal prefixes merge however they arise."""

    def __init__(self) -> None:
        self.parents = [-1]
        self.last_tokens = [TokenTable.blank_id]
        self._children: dict[tuple[int, int], int] = {}

    def child(self, node: int, token: int) -> int:
        """Return the node of prefix `node` followed by `token`."""
        child = self._children.setdefault((node, token), len(self.parents))
        if child == len(self.parents):
            self.parents.append(node)
            self.last_tokens.append(token)
        return child

    def labels(self, node: int) -> list[int]:
        """Return the token ids of a prefix."""
        labels = []
        while node != ROOT:
            labels.append(self.last_tokens[node])
            node = self.parents[node]
        return labels[::-1]
