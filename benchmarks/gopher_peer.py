"""datatrove's repetition filter on documents from standard input, for `benchmarks.measures`; needs datatrove alone.

Reads {"documents": [...], "words": [[...], ...]}; writes {"seconds": CPU seconds with its own words, "decisions": what
it says of each document on the words given}.
"""

import json
import sys
import time

from datatrove.data import Document
from datatrove.pipeline.filters import gopher_repetition_filter as peer


def main() -> None:
    """Measure, then decide on the words given."""
    told = json.load(sys.stdin)
    documents = [Document(text=text, id=str(i)) for i, text in enumerate(told["documents"])]
    judge = peer.GopherRepetitionFilter()
    for document in documents[:5]:
        judge.filter(document)
    started = time.process_time()
    for document in documents:
        judge.filter(document)
    seconds = time.process_time() - started
    words = dict(zip(told["documents"], told["words"], strict=True))
    peer.split_into_words = lambda text, language: words[text]
    found = [judge.filter(document) for document in documents]
    decisions = ["" if kept is True else kept[1] for kept in found]
    json.dump({"seconds": seconds, "decisions": decisions}, sys.stdout)


if __name__ == "__main__":
    main()
