//! Patterns as `KEYS` and its kin take them.

/// Whether `text` matches the pattern, letter case aside: `*`, `?`, `[a-z]`, `[^a]`, `\` before a character
/// that is to stand for itself.
///
/// Runs in the time of pattern and text, never longer than their product.
///
/// Stock: `util.c` `stringmatchlen`.
pub fn matches_in_any_case(pattern: &[u8], text: &[u8]) -> bool {
    matches_by(pattern, text, |byte| byte.to_ascii_lowercase())
}

/// Whether `text` matches the pattern as it stands, as keys do.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_by(pattern, text, |byte| byte)
}

fn matches_by(pattern: &[u8], text: &[u8], fold: fn(u8) -> u8) -> bool {
    // Where the last star stands, and what of the text it does not cover yet.
    let mut star: Option<(&[u8], &[u8])> = None;
    let (mut pattern, mut text) = (pattern, text);
    loop {
        if let [b'*', rest @ ..] = pattern {
            star = Some((rest, text));
            pattern = rest;
            continue;
        }
        if let Some((&byte, behind)) = text.split_first()
            && let Some(rest) = step(pattern, byte, fold)
        {
            pattern = rest;
            text = behind;
            continue;
        }
        if text.is_empty() && pattern.is_empty() {
            return true;
        }
        match star {
            Some((after, [_, uncovered @ ..])) => {
                star = Some((after, uncovered));
                pattern = after;
                text = uncovered;
            }
            _ => return false,
        }
    }
}

/// What of the pattern is left when its first item matches `byte`.
fn step(pattern: &[u8], byte: u8, fold: fn(u8) -> u8) -> Option<&[u8]> {
    let same = |one: u8| fold(one) == fold(byte);
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => {
            let (is_in, rest) = class(rest, byte, fold);
            is_in.then_some(rest)
        }
        [b'\\', literal, rest @ ..] => same(*literal).then_some(rest),
        [literal, rest @ ..] => same(*literal).then_some(rest),
    }
}

/// Whether `byte` is in the class that begins here, and what follows the class.
fn class(mut rest: &[u8], byte: u8, fold: fn(u8) -> u8) -> (bool, &[u8]) {
    let byte = fold(byte);
    let is_negated = rest.first() == Some(&b'^');
    if is_negated {
        rest = rest.get(1..).unwrap_or_default();
    }
    let mut found = false;
    loop {
        match rest {
            [] => break,
            [b'\\', literal, after @ ..] => {
                found |= fold(*literal) == byte;
                rest = after;
            }
            [b']', after @ ..] => {
                rest = after;
                break;
            }
            [one, b'-', other, after @ ..] => {
                let (one, other) = (fold(*one), fold(*other));
                found |= (one.min(other)..=one.max(other)).contains(&byte);
                rest = after;
            }
            [literal, after @ ..] => {
                found |= fold(*literal) == byte;
                rest = after;
            }
        }
    }
    (found != is_negated, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_on_stock() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "lib", true),
            ("", "", true),
            ("", "a", false),
            ("LIB*", "library", true),
            ("l?b", "lib", true),
            ("l?b", "lb", false),
            ("*b*r*", "library", true),
            ("*x", "library", false),
            ("l[h-j]b", "LIB", true),
            ("l[^i]b", "lib", false),
            ("l[j-h]b", "lib", true),
            ("l\\ib", "lib", true),
            ("l\\*b", "lib", false),
            ("[ab", "a", true),
            ("a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            let matches = matches_in_any_case(pattern.as_bytes(), text.as_bytes());
            assert_eq!(matches, expected, "{pattern} {text}");
        }
        for (pattern, text, expected) in
            [("LIB*", "library", false), ("l[H-J]b", "lib", false), ("l[h-j]b", "lib", true)]
        {
            assert_eq!(super::matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern}");
        }
    }
}
