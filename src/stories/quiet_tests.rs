//! Silences, hours, limits, partners and joined routes, as stories: what is held back, why, and when it is told.

use crate::rules::{RuleSet, SourceFile};

use super::run_stories;

const SERVICES: &str = "
version: 1
kind: services
teams: { owl: , pay: , platform: }
services:
  - { name: owl-service, owner: owl, partner: platform }
  - { name: payments, owner: pay }
rules:
  - { id: service, when: { label.service: { exists: true } }, set: { service: \"${label.service}\" } }
";

const PLATFORM: &str = "
version: 1
kind: platform
rules:
  - { id: said, when: { label.platform: { re: \"(?<p>ecs|eks)\" } }, set: { platform: \"${p}\" } }
";

const ROUTES: &str = "
version: 1
kind: routes
routes:
  - { id: partner, partner: platform, to: [platform-pager] }
  - { id: audit, when: { out.owner: pay }, to: [audit, pager], continue: true }
  - id: office
    when: { out.severity: warning }
    to: [pager]
    active: [{ weekdays: mon-fri, times: '09:00-17:00', zone: Europe/Berlin }]
  - { id: calm, when: { label.mood: calm }, to: [pager], severity: { critical: error } }
  - { id: unowned, when: { out.owner: unowned }, to: [pager], limit: { per: class, rate: 1/h } }
  - { id: rest, to: [pager], remind: 3h }
";

const SILENCES: &str = "
version: 1
kind: silences
silences:
  - id: owl-moves
    why: The owl moves to EKS this morning.
    when: { out.service: owl-service, label.platform: eks, field.name: { prefix: High } }
    from: 2026-11-23T06:00:00Z
    until: 2026-11-23T08:00:00Z
";

const STORIES: &str = "
version: 1
tests:
  - name: a partner hears of EKS while the service moves, and of nothing else
    given: { alert: { name: '${name}', service: '${service}', platform: '${platform}', severity: critical } }
    steps:
      - { at: 0s, send: firing, with: { name: A, service: owl-service, platform: eks }, expect: { to: [pager, platform-pager], route: rest, rules: [partner, rest] } }
      - { at: 1s, send: firing, with: { name: B, service: owl-service, platform: ecs }, expect: { to: [pager] } }
      - { at: 2s, send: firing, with: { name: C, service: payments, platform: eks }, expect: { to: [audit, pager] } }
    expect: { deliveries: { pager: 3, platform-pager: 1, audit: 1 } }

  - name: a route that continues adds its sinks, and the first gives the times
    given: { alert: { name: A, service: payments, severity: critical } }
    expect: { route: audit, to: [audit, pager], rules: [audit, rest], notices: [opened first_alert] }

  - name: what fires at night waits for the office, and says why
    clock: 2026-11-23T20:00:00Z
    given: { alert: { name: A, service: owl-service, severity: warning } }
    steps:
      - { at: 0s, send: firing, expect: { route: office, notices: [], quiet: office, open: 1, outcome: opened } }
      - { at: 11h, send: firing, expect: { notices: [], quiet: office } }
      - { at: 13h, expect: { notices: [{ kind: opened, reason: quiet_over, at: 12h }], quiet: no } }

  - name: what is over before the office opens is told to nobody
    clock: 2026-11-23T20:00:00Z
    given: { alert: { name: A, service: owl-service, severity: warning } }
    steps:
      - { at: 0s, send: firing }
      - { at: 1h, send: resolved, expect: { outcome: cancelled } }
      - { at: 20h }
    expect: { notices: [], open: 0 }

  - name: worse and further legs wait as well, and are told together in the morning
    clock: 2026-11-23T15:59:00Z
    given: { alert: { name: A, id: '${id}', service: owl-service, platform: '${platform}', severity: warning } }
    steps:
      - { at: 0s, send: firing, with: { id: a, platform: ecs }, expect: { notices: [opened] } }
      - { at: 2h, send: firing, with: { id: b, platform: eks }, expect: { notices: [], quiet: office } }
      - { at: 17h, expect: { notices: [{ kind: changed, reason: new_sink, at: 16h1m }] } }

  - name: nobody waits for the office hours of another member's route
    clock: 2026-11-23T20:00:00Z
    given: { alert: { name: A, id: '${id}', service: owl-service, severity: '${severity}', labels: { mood: '${mood}' } } }
    steps:
      - { at: 0s, send: firing, with: { id: a, severity: warning, mood: even }, expect: { notices: [], quiet: office } }
      - { at: 1m, send: firing, with: { id: b, severity: error, mood: calm }, expect: { incident: same, notices: [opened] } }

  - name: a silenced incident lives, and is told when the silence ends
    clock: 2026-11-23T07:00:00Z
    given: { alert: { name: HighErrorRate, service: owl-service, platform: eks, severity: critical } }
    steps:
      - { at: 0s, send: firing, expect: { notices: [], quiet: owl-moves, open: 1 } }
      - { at: 2h, expect: { notices: [{ kind: opened, reason: quiet_over, at: 1h }], quiet: no } }

  - name: what is silenced and ends within the silence is told to nobody
    clock: 2026-11-23T07:00:00Z
    given: { alert: { name: HighErrorRate, service: owl-service, platform: eks, severity: critical } }
    steps:
      - { at: 0s, send: firing }
      - { at: 30m, send: resolved, expect: { outcome: cancelled } }
      - { at: 3h }
    expect: { notices: [] }

  - name: what was told before the silence is resolved within it
    clock: 2026-11-23T05:59:00Z
    given: { alert: { name: HighErrorRate, service: owl-service, platform: eks, severity: critical } }
    steps:
      - { at: 0s, send: firing, expect: { notices: [opened] } }
      - { at: 30m, send: resolved, expect: { notices: [resolved all_resolved] } }

  - name: what was told before the silence is not told again within it
    clock: 2026-11-23T05:00:00Z
    given: { alert: { name: HighErrorRate, service: owl-service, platform: eks, severity: critical } }
    steps:
      - { at: 0s, send: firing, expect: { notices: [opened] } }
      - { at: 4h, expect: { notices: [{ kind: reminder, at: 3h }] } }

  - name: an event in a silence is recorded and not passed on
    clock: 2026-11-23T07:00:00Z
    given: { alert: { name: HighTide, service: owl-service, platform: eks, state: info } }
    expect: { notices: [], outcome: noted }

  - name: the silence is of its platform and its name
    clock: 2026-11-23T07:00:00Z
    given: { alert: { name: '${name}', service: owl-service, platform: '${platform}', severity: critical } }
    steps:
      - { at: 0s, send: firing, with: { name: HighErrorRate, platform: ecs }, expect: { notices: [opened] } }
      - { at: 1s, send: firing, with: { name: LowDisk, platform: eks }, expect: { notices: [opened] } }

  - name: of a class that nobody owns one pages an hour, and none is lost
    given: { alert: { name: '${name}', service: '${service}', severity: critical } }
    steps:
      - { at: 0s, send: firing, with: { name: DiskFull, service: a }, expect: { notices: [opened first_alert] } }
      - { at: 1m, send: firing, with: { name: DiskFull, service: b }, expect: { notices: [], quiet: unowned, open: 2 } }
      - { at: 2m, send: firing, with: { name: DiskFull, service: c }, expect: { notices: [], quiet: unowned, open: 3 } }
      - { at: 3m, send: firing, with: { name: OutOfMemory, service: c }, expect: { notices: [opened] } }
      - { at: 10m, send: resolved, with: { name: DiskFull, service: a }, expect: { notices: [resolved] } }
      - { at: 59m, expect: { notices: [] } }
      - { at: 90m, expect: { notices: [{ kind: opened, reason: quiet_over, at: 1h }] } }
      - { at: 150m, expect: { notices: [{ kind: opened, reason: quiet_over, at: 2h }] } }

  - name: a severity is told as the route has it
    given: { alert: { name: A, service: owl-service, severity: critical, labels: { mood: calm } } }
    expect: { severity: { is: error, by: calm } }
";

#[test]
fn what_is_held_back_is_told_when_it_may_be() {
    let files: Vec<SourceFile> = [
        ("platform.yaml", PLATFORM),
        ("services.yaml", SERVICES),
        ("routes.yaml", ROUTES),
        ("silences.yaml", SILENCES),
        ("tests/quiet.yaml", STORIES),
    ]
    .map(|(name, text)| SourceFile { name: name.to_owned(), text: text.trim_start().to_owned() })
    .into();
    let mut rules = match RuleSet::compile(&files) {
        Ok(rules) => rules,
        Err(faults) => panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    };
    rules.bind_sinks(&["pager", "platform-pager", "audit"].map(Into::into)).unwrap();
    let report = run_stories(&rules, &files);
    let wrongs: Vec<String> = report.wrongs().map(ToString::to_string).collect();
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n\n"));
    assert_eq!(report.cases.len(), 14);
    assert!(report.untested.is_empty(), "{:?}", report.untested);
}
