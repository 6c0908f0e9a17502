"""Posts cannot get out of their fence."""

from tersely.evaluation.judges.fence import fence_for, fenced


def test_a_fence_is_the_same_for_the_same_texts_and_another_for_others() -> None:
    codes = {fence_for(*texts) for texts in (("ab", "c"), ("a", "bc"), ("ab", "d"), ("ab", "c"))}
    assert 3 == len(codes)


def test_a_fence_is_in_neither_text() -> None:
    """Not even in a text made of fences."""
    post = " ".join(fence_for("post", str(number)) for number in range(50))
    code = fence_for(post, fenced("summary", fence_for(post, "")))
    assert code not in post
    assert 16 == len(code)


def test_a_text_stands_between_two_lines() -> None:
    assert "[BEGIN 12ab]\nline\nline\n[END 12ab]" == fenced("line\nline", "12ab")
