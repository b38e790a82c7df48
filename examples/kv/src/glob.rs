//! Patterns with `*`, `?`, `[a-z]`, `[^a]` and `\`, as PSUBSCRIBE and CONFIG GET take them.

/// Whether all of `text` fits `pattern`. After a mismatch only the last `*` takes one byte more: at worst the two lengths
/// multiplied, whatever the pattern.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // The place after the last star, and where what it takes ends.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
            continue;
        }
        if t == text.len() && p == pattern.len() {
            return true;
        }
        if let Some(next) = text.get(t).and_then(|&b| one(pattern, p, b)) {
            p = next;
            t += 1;
            continue;
        }
        match &mut star {
            Some((after, end)) if *end < text.len() => {
                *end += 1;
                (p, t) = (*after, *end);
            }
            _ => return false,
        }
    }
}

/// Where the pattern goes on, if what stands at `p` takes the byte.
fn one(pattern: &[u8], p: usize, b: u8) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => set(pattern, p + 1, b),
        b'\\' if p + 1 < pattern.len() => (pattern[p + 1] == b).then_some(p + 2),
        c => (c == b).then_some(p + 1),
    }
}

/// A set that is not closed ends with the pattern.
fn set(pattern: &[u8], mut p: usize, b: u8) -> Option<usize> {
    let not = pattern.get(p) == Some(&b'^');
    p += usize::from(not);
    let mut found = false;
    while let Some(&c) = pattern.get(p) {
        if c == b']' {
            p += 1;
            break;
        }
        match pattern.get(p + 1..p + 3) {
            Some(&[b'-', high]) if high != b']' => {
                found |= (c.min(high)..=c.max(high)).contains(&b);
                p += 3;
            }
            _ => {
                found |= c == b;
                p += 1;
            }
        }
    }
    (found != not).then_some(p)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("news.*", "news.art", true),
            ("news.*", "new", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            ("*a*b*c", "xxaxxbxxbc", true),
            ("*a*b*c", "xxaxxcxxb", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("[a", "a", true),
            ("[^", "a", true),
            ("a*", "ba", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
        assert!(!matches(&b"*a".repeat(2_000), &[b'a'; 1_999].repeat(2)[..1_999]));
    }
}
