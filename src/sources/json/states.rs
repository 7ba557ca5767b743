//! What a sender's word or number for a state means: first by the option `states`, then by the words that many tools
//! share. Never reads a number or a boolean as an alarm that nobody called one.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::model::State;
use crate::sources::node::one_line;

/// Words of many tools, without case. What stands in no line fires.
const WORDS: [(State, &[&str]); 4] = [
    (
        State::Resolved,
        &[
            "alert_degraded_recovery",
            "alert_recovery",
            "available",
            "clear",
            "cleared",
            "close",
            "closed",
            "completed",
            "deactivated",
            "fixed",
            "green",
            "healthy",
            "inactive",
            "normal",
            "ok",
            "online",
            "operational",
            "pass",
            "passed",
            "passing",
            "postmortem",
            "recover",
            "recovered",
            "recovery",
            "removed",
            "resolve",
            "resolved",
            "restored",
            "succeeded",
            "success",
            "successful",
            "up",
        ],
    ),
    (State::Acknowledged, &["ack", "acked", "acknowledge", "acknowledged", "acknowledgement", "acknowledgment"]),
    (
        State::Suppressed,
        &[
            "downtimecancelled",
            "downtimeend",
            "downtimeremoved",
            "downtimestart",
            "flappingdisabled",
            "flappingend",
            "flappingstart",
            "flappingstop",
            "maintenance",
            "muted",
            "paused",
            "scheduled",
            "silenced",
            "suppressed",
            "under_maintenance",
        ],
    ),
    (State::NoData, &["insufficient_data", "no data", "no_data", "nodata", "undefined", "uninitialized", "unknown"]),
];

/// The option: words in lower case, and what they mean.
pub(super) struct States(BTreeMap<String, State>);

impl States {
    /// The error names the key.
    pub(super) fn of_option(option: Option<&Value>) -> Result<States, String> {
        let empty = Map::new();
        let lines = match option {
            None | Some(Value::Null) => &empty,
            Some(Value::Object(lines)) => lines,
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                return Err("key `states`: expected words of the sender, each with a state".to_owned());
            }
        };
        let mut states = BTreeMap::new();
        for (word, value) in lines {
            let state =
                State::ALL.into_iter().find(|state| value.as_str() == Some(state.as_str())).ok_or_else(|| {
                    let known = State::ALL.map(|state| format!("`{}`", state.as_str())).join(", ");
                    format!("key `states`: `{word}` is {value}, expected one of {known}")
                })?;
            if states.insert(folded(word), state).is_some() {
                return Err(format!("key `states`: `{word}` is there twice"));
            }
        }
        Ok(States(states))
    }

    /// An unknown word fires. A number is refused: 1 is an alarm for one tool and the all-clear for the next, and a
    /// guess would page for what has just recovered and never end it.
    pub(super) fn state_of(&self, word: &str) -> Result<State, String> {
        let folded = folded(word);
        if let Some(state) = self.0.get(&folded).copied().or_else(|| self.state_of_number(&folded)) {
            return Ok(state);
        }
        let word = word.trim();
        if is_number(word) || ["true", "false"].iter().any(|known| known.eq_ignore_ascii_case(word)) {
            let word = one_line(word, 40);
            return Err(format!(
                "state `{word}` means nothing by itself: the option `states` says what it is, as in `{{ {word}: resolved }}`"
            ));
        }
        let known = WORDS.iter().find(|(_, words)| words.iter().any(|known| known.eq_ignore_ascii_case(word)));
        Ok(known.map_or(State::Firing, |(state, _)| *state))
    }

    /// By value: a sender writes `1.0` where the option has `1`.
    fn state_of_number(&self, word: &str) -> Option<State> {
        let number = exact_number(word)?;
        let is_it =
            |line: &str| exact_number(line).is_some_and(|known| known.partial_cmp(&number) == Some(Ordering::Equal));
        self.0.iter().find(|(line, _)| is_it(line)).map(|(_, state)| *state)
    }
}

fn folded(word: &str) -> String {
    word.trim().to_lowercase()
}

/// Nothing for numbers so large that two of them would be taken for one.
fn exact_number(word: &str) -> Option<f64> {
    const NUMBER_MAX: f64 = 9_007_199_254_740_992.0;
    word.parse().ok().filter(|number: &f64| is_number(word) && number.abs() < NUMBER_MAX)
}

fn is_number(word: &str) -> bool {
    // `inf` and `nan` are words.
    word.ends_with(|last: char| last.is_ascii_digit() || last == '.') && word.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn states(option: Value) -> States {
        States::of_option(Some(&option)).unwrap()
    }

    #[test]
    fn the_words_of_well_known_tools_are_read_without_case_and_unknown_ones_fire() {
        let none = States::of_option(None).unwrap();
        for (tool, words) in [
            ("Nagios, fires", "PROBLEM CRITICAL WARNING DOWN UNREACHABLE"),
            ("Nagios, resolved", "RECOVERY OK UP"),
            ("Nagios, acknowledged", "ACKNOWLEDGEMENT"),
            ("Nagios, suppressed", "DOWNTIMESTART FLAPPINGSTART"),
            ("Icinga, suppressed", "DowntimeRemoved FlappingEnd"),
            ("Netdata, resolved", "CLEAR REMOVED"),
            ("Netdata, no_data", "UNDEFINED"),
            ("Statuspage, fires", "investigating identified monitoring major_outage"),
            ("Statuspage, resolved", "resolved postmortem completed operational"),
            ("Statuspage, suppressed", "under_maintenance scheduled"),
            ("Zabbix, fires", "PROBLEM"),
            ("Zabbix, resolved", "RESOLVED OK Normal"),
            ("UptimeRobot and Pingdom, resolved", "Up UP SUCCESS"),
            ("UptimeRobot and Pingdom, fires", "Down DOWN FAILING"),
            ("Checkly, resolved", "ALERT_RECOVERY ALERT_DEGRADED_RECOVERY"),
            ("Checkly, fires", "ALERT_FAILURE ALERT_DEGRADED ALERT_SSL"),
            ("CI, resolved", "passed succeeded"),
            ("CI, fires", "failed error"),
            ("CloudWatch, no_data", "INSUFFICIENT_DATA"),
            ("others, acknowledged", "Acked ack"),
            ("others, fires", "alerting réglé nan inf P1 2nd"),
        ] {
            let state = tool.rsplit(' ').next().unwrap().replace("fires", "firing");
            for word in words.split(' ') {
                assert_eq!(none.state_of(word).map(State::as_str), Ok(state.as_str()), "{tool}: {word}");
            }
        }
        assert_eq!(none.state_of(" No Data "), Ok(State::NoData));
        assert_eq!(none.state_of(""), Ok(State::Firing));
    }

    #[test]
    fn the_option_comes_first_and_the_shared_words_stand_behind_it() {
        let states =
            states(json!({ "0": "firing", "1": "resolved", "Réglé": "resolved", "OK": "info", "-1.5": "no_data" }));
        for (word, state) in [
            ("0", State::Firing),
            ("1", State::Resolved),
            (" RÉGLÉ ", State::Resolved),
            ("ok", State::Info),
            ("up", State::Resolved),
            ("-1.5", State::NoData),
            ("else", State::Firing),
        ] {
            assert_eq!(states.state_of(word), Ok(state), "{word}");
        }
        assert!(states.state_of("2").is_err(), "not in the option either");
    }

    #[test]
    fn a_number_is_found_by_its_value_however_it_is_written() {
        let states = states(json!({ "0": "firing", "1": "resolved", "2.50": "info", "9007199254740993": "resolved" }));
        for (word, state) in [
            ("1.0", State::Resolved),
            (" 1.000 ", State::Resolved),
            ("1e0", State::Resolved),
            ("10E-1", State::Resolved),
            ("0.0", State::Firing),
            ("-0", State::Firing),
            ("2.5", State::Info),
            ("9007199254740993", State::Resolved),
        ] {
            assert_eq!(states.state_of(word), Ok(state), "{word}");
        }
        for word in ["1.01", "-1.0", "9007199254740992", "9007199254740993.0", &"9".repeat(5000)] {
            assert!(states.state_of(word).is_err(), "{word}");
        }
    }

    #[test]
    fn a_number_or_a_boolean_is_refused_in_a_sentence_that_names_the_option() {
        for word in ["1", "0", "-1", "2.0", "1e9", "true", "False", &"9".repeat(5000)] {
            let reason = States::of_option(None).unwrap().state_of(word).unwrap_err();
            assert!(reason.contains("the option `states`") && reason.len() < 250, "{reason}");
        }
    }

    #[test]
    fn a_slip_in_the_option_is_named() {
        for (option, reason) in [
            (json!(["up"]), "key `states`: expected words of the sender, each with a state"),
            (
                json!({ "1": "up" }),
                "key `states`: `1` is \"up\", expected one of `firing`, `resolved`, `acknowledged`, `suppressed`, \
                 `no_data`, `info`",
            ),
            (json!({ "UP": "resolved", "up": "firing" }), "key `states`: `up` is there twice"),
        ] {
            assert_eq!(States::of_option(Some(&option)).err().unwrap(), reason);
        }
    }
}
