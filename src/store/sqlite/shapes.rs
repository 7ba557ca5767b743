//! How each table of the road is written: the statements of one transaction. Decides nothing, and holds no row.

use super::bulk::Shape;

/// All of them, for the view of few rows.
pub(super) const SHAPES: [&Shape; 7] = [&INCIDENTS, &MEMBERS, &NOTICES, &DELIVERIES, &RECORDS, &REJECTS, &SETTLEMENTS];

pub(super) const INCIDENTS: Shape = Shape {
    number: 1,
    head: "insert or rollback into incidents (id, key, deadline, changed_at, notice, state) values ",
    row: "(?,?,?,?,?,?)",
    tail: " on conflict (id) do update set deadline = excluded.deadline, changed_at = excluded.changed_at, \
           notice = excluded.notice, state = excluded.state",
    columns: "a1,b1,c1,d1,e1,f1",
    single: None,
};

pub(super) const MEMBERS: Shape = Shape {
    number: 2,
    head: "insert or rollback into members (id, identity, incident, expires_at, changed_at, state) values ",
    row: "(?,?,?,?,?,?)",
    tail: " on conflict (id) do update set incident = excluded.incident, expires_at = excluded.expires_at, changed_at = excluded.changed_at, state = excluded.state",
    columns: "a2,b2,c2,d2,e2,f2",
    single: None,
};

pub(super) const NOTICES: Shape = Shape {
    number: 3,
    head: "insert or rollback into notices (id, at, kind, reason, sequence, incident, state) values ",
    row: "(?,?,?,?,?,?,?)",
    tail: "",
    columns: "a3,b3,c3,d3,e3,f3,g3",
    single: None,
};

pub(super) const DELIVERIES: Shape = Shape {
    number: 4,
    head: "insert or rollback into deliveries (id, notice, sink, key, attempts, created_at, next_at, reason) values ",
    row: "(?,?,?,?,0,?,?,'')",
    tail: "",
    columns: "a4,b4,c4,d4,e4,f4",
    single: None,
};

pub(super) const RECORDS: Shape = Shape {
    number: 5,
    head: "insert or rollback into records (received_at, source, kind, body, decisions) values ",
    row: "(?,?,?,?,?)",
    tail: "",
    columns: "a5,b5,c5,d5,e5",
    single: None,
};

pub(super) const REJECTS: Shape = Shape {
    number: 6,
    head: "insert or rollback into rejects (received_at, source, kind, status, reason, body) values ",
    row: "(?,?,?,?,?,?)",
    tail: "",
    columns: "a6,b6,c6,d6,e6,f6",
    single: None,
};

/// The rows are there: who asks has looked them up. So none is inserted, and SQLite need not join two tables, for which
/// it would copy each row twice.
pub(super) const SETTLEMENTS: Shape = Shape {
    number: 7,
    head: "insert or rollback into deliveries (id, notice, sink, key, created_at, attempts, next_at, outcome, reason, settled_at) values ",
    row: "(?,0,'',x'',0,?,?,?,?,?)",
    tail: " on conflict (id) do update set attempts = excluded.attempts, next_at = excluded.next_at, outcome = excluded.outcome, \
           reason = excluded.reason, settled_at = excluded.settled_at",
    columns: "a7,b7,c7,d7,e7,f7",
    single: Some(
        "update or rollback deliveries set attempts = new.b7, next_at = new.c7, outcome = new.d7, reason = new.e7, \
         settled_at = new.f7 where id = new.a7",
    ),
};
