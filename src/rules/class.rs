//! The class of an alert: its name without the parts that say where, so that the same problem in two places has one
//! name. Never strips to nothing.

/// Where the words of a name part.
const SEPARATORS: [char; 5] = ['-', '_', ' ', '/', '.'];

/// One word is the whole name, whatever it says.
pub(super) fn has_parts(name: &str) -> bool {
    name.contains(SEPARATORS)
}

/// `None` when nothing says where: the class is the name itself.
pub(super) fn strip(name: &str, places: &[&str]) -> Option<String> {
    let words = words(name);
    let mut kept: Vec<Word<'_>> = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        match places.iter().map(|place| length_of(place, &words[at..])).max() {
            Some(length) if length > 0 => at += length,
            Some(_) | None => {
                kept.push(words[at]);
                at += 1;
            }
        }
    }
    if kept.is_empty() || kept.len() == words.len() {
        return None;
    }
    let mut class = String::with_capacity(name.len());
    for word in kept {
        if !class.is_empty() {
            class.push(word.separator);
        }
        class.push_str(word.text);
    }
    Some(class)
}

#[derive(Clone, Copy)]
struct Word<'a> {
    /// What stood before it.
    separator: char,
    text: &'a str,
}

fn words(name: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut separator = '-';
    for piece in name.split_inclusive(SEPARATORS) {
        let text = piece.trim_end_matches(SEPARATORS);
        if !text.is_empty() {
            words.push(Word { separator, text });
        }
        separator = piece.chars().next_back().filter(|last| SEPARATORS.contains(last)).unwrap_or(separator);
    }
    words
}

/// How many of the next words are this place; 0 when they are something else.
fn length_of(place: &str, words: &[Word<'_>]) -> usize {
    let mut length = 0;
    for part in place.split(SEPARATORS).filter(|part| !part.is_empty()) {
        match words.get(length) {
            Some(word) if word.text.eq_ignore_ascii_case(part) => length += 1,
            Some(_) | None => return 0,
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_says_where_and_keep_what_says_what() {
        let places = ["owl-service", "owl_svc", "prod-use1-c2", "c2", "production", "prod", "ecs", "eks"];
        for (name, class) in [
            ("owl-service-ecs-HighErrorRate", "HighErrorRate"),
            ("HighErrorRate", "HighErrorRate"),
            ("HighErrorRate-owl-service", "HighErrorRate"),
            ("owl_svc HighErrorRate EKS", "HighErrorRate"),
            ("prod/owl-service/High Error Rate", "High Error Rate"),
            ("prod-use1-c2-owl-service-latency_p99", "latency_p99"),
            ("owl-High-Errors", "owl-High-Errors"),
            ("service.latency", "service.latency"),
            ("ecs", "ecs"),
            ("owl-service-ecs", "owl-service-ecs"),
            ("High--Errors-prod", "High-Errors"),
            ("-", "-"),
            ("", ""),
            ("Alerte é-prod", "Alerte é"),
        ] {
            assert_eq!(strip(name, &places).as_deref().unwrap_or(name), class, "{name}");
        }
    }
}
