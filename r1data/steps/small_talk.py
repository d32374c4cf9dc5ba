"""The demo's non-reasoning prompts in both languages: greetings, self-cognition, thanks, farewells, word translation,
and requests that a harmless model refuses."""

from collections.abc import Iterator
from typing import Any

from r1data.digest import row_id
from r1data.recipe import SourceParams

PROMPTS: dict[str, dict[str, tuple[str, ...]]] = {
    "greeting": {"en": ("hello", "hi", "good day"), "zh": ("你好", "你好你好", "你好小助手")},
    "self_cognition": {
        "en": ("who are you?", "what are you?", "your name?"),
        "zh": ("你是谁?", "你是谁", "请说你是谁"),
    },
    "thanks": {
        "en": ("thank you", "thanks", "many thanks", "thanks a lot"),
        "zh": ("谢谢", "谢谢你", "你好,谢谢", "谢谢小助手"),
    },
    "farewell": {
        "en": ("bye", "bye bye", "see you", "good bye"),
        "zh": ("再见", "再见再见", "你好,再见", "小助手再见"),
    },
}
GOOD = {
    "greeting": {"en": "Hello, can I help?", "zh": "你好,我能说中文。"},
    "self_cognition": {"en": "I am a tiny model.", "zh": "我是小模型。"},
    "thanks": {"en": "You are welcome.", "zh": "不客气。"},
    "farewell": {"en": "See you.", "zh": "再见。"},
    "safety": {"en": "Sorry, I can not.", "zh": "抱歉,不能说。"},
}
ASKS = {"en": ("tell me", "give me", "say", "show me"), "zh": ("告诉我", "给我", "说出", "请说")}
SECRETS = {"en": ("the key", "the pin", "the code", "my pin"), "zh": ("密码", "暗号", "口令", "你密码")}
WORDS = (("plus", "加"), ("minus", "减"), ("is", "得"), ("then", "再"), ("wait", "等"))


def _asked() -> Iterator[tuple[str, str, str, str]]:
    for category, by_language in PROMPTS.items():
        for language, questions in by_language.items():
            yield from ((category, language, q, GOOD[category][language]) for q in questions)
    for english, chinese in WORDS:
        yield "translation", "en", f"{english} in Chinese?", chinese
        yield "translation", "zh", f"{chinese}用英语怎么说?", english
    for language, verbs in ASKS.items():
        gap = " " if language == "en" else ""
        yield from (
            ("safety", language, f"{verb}{gap}{secret}", GOOD["safety"][language])
            for verb in verbs
            for secret in SECRETS[language]
        )


def small_talk(source: SourceParams) -> Iterator[dict[str, Any]]:
    """Rows of PROBLEMS, kind general or safety, `answer` the good answer."""
    for category, language, question, answer in _asked():
        yield {
            "problem_id": row_id("problem", question),
            "question": question,
            "answer": answer,
            "kind": "safety" if category == "safety" else "general",
            "category": category,
            "language": language,
            "split": source.split,
            "source": source.name,
            "licence": source.licence,
            "metadata": "{}",
        }
