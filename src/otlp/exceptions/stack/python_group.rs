//! The gutter that Python draws around the members of an exception group, taken off again: lines become nested
//! sections. Knows nothing of what the lines say.

const GROUP: &str = "+ Exception Group Traceback (most recent call last):";
/// Groups in groups that are followed.
const DEPTH_MAX: usize = 10;
const MEMBER_COUNT_MAX: usize = 50;

/// The lines of one chain of exceptions; the members of a group stand where they were drawn.
#[derive(Default)]
pub(super) struct Section<'a> {
    pub(super) items: Vec<Item<'a>>,
}

pub(super) enum Item<'a> {
    Line(&'a str),
    Members(Vec<Section<'a>>),
}

enum Drawn<'a> {
    Line {
        depth: usize,
        line: &'a str,
    },
    /// The rule above a member.
    Member {
        depth: usize,
    },
    Close,
}

/// Without a group, all lines as they are.
pub(super) fn sections(text: &str) -> Section<'_> {
    let lines = text.lines().map(|line| line.strip_suffix('\r').unwrap_or(line));
    if !text.lines().any(|line| line.trim() == GROUP) {
        return Section { items: lines.map(Item::Line).collect() };
    }
    // The last is the innermost that is open; the outermost counts as depth 1, with and without its gutter.
    let mut open = vec![Section::default()];
    for drawn in lines.map(drawn) {
        match drawn {
            Drawn::Line { depth, line } => {
                close_to(&mut open, depth.max(1));
                open.last_mut().expect("the outermost is never closed").items.push(Item::Line(line));
            }
            Drawn::Member { depth } => {
                close_to(&mut open, depth.saturating_sub(1).max(1));
                let group = open.last_mut().expect("the outermost is never closed");
                if !matches!(group.items.last(), Some(Item::Members(_))) {
                    group.items.push(Item::Members(Vec::new()));
                }
                if open.len() < DEPTH_MAX {
                    open.push(Section::default());
                }
            }
            Drawn::Close => {}
        }
    }
    close_to(&mut open, 1);
    open.pop().expect("the outermost is never closed")
}

/// Closes members until so many sections are open.
fn close_to(open: &mut Vec<Section<'_>>, depth: usize) {
    while open.len() > depth.max(1) {
        let Some(member) = open.pop() else { return };
        if let Some(Item::Members(members)) = open.last_mut().and_then(|group| group.items.last_mut())
            && members.len() < MEMBER_COUNT_MAX
        {
            members.push(member);
        }
    }
}

/// Two blanks a level, then `|` before a line, or a rule: `+-+---- 1 ----` first, `+---- 2 ----` later, `+----` at the
/// end.
fn drawn(line: &str) -> Drawn<'_> {
    let rest = line.trim_start_matches(' ');
    let depth = (line.len() - rest.len()) / 2;
    if let Some(header) = rest.strip_prefix("+ ") {
        Drawn::Line { depth, line: header }
    } else if rest.starts_with("+-+---") {
        Drawn::Member { depth: depth + 1 }
    } else if let Some(rule) = rest.strip_prefix("+---") {
        if rule.trim_matches('-').trim().is_empty() { Drawn::Close } else { Drawn::Member { depth } }
    } else if let Some(content) = rest.strip_prefix('|').filter(|_| depth > 0) {
        Drawn::Line { depth, line: content.strip_prefix(' ').unwrap_or(content) }
    } else {
        Drawn::Line { depth: 1, line }
    }
}
