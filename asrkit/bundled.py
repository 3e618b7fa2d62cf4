"""Where recipes, settings fragments and the English model lie: in the wheel, or in the checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_IN_WHEEL = _PACKAGE / "_bundled"
_ROOT = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent

RECIPES_DIR = _ROOT / "recipes"
CONF_DIR = _ROOT / "conf"
ENGLISH_MODEL = RECIPES_DIR / "english" / "model.asr"
