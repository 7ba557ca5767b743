-- Incidents and members are found by 16-byte hashes through a directory in memory (see directory.rs), so there is
-- no index over the hashes. `state` is MessagePack with names. Row ids grow, so the oldest rows stand first.
create table incidents (
    id         integer primary key,
    key        blob    not null,
    deadline   integer,             -- ms; null once closed
    changed_at integer not null,
    state      blob    not null
);
create index incidents_deadline on incidents (deadline) where deadline is not null;
create index incidents_closed on incidents (changed_at) where deadline is null;

create table members (
    id         integer primary key,
    identity   blob    not null,
    incident   integer,             -- incidents.id; null for a resolve that never had an incident
    expires_at integer,             -- ms; null once ended
    changed_at integer not null,
    state      blob    not null
);
create index members_firing on members (incident, expires_at) where expires_at is not null;
create index members_ended on members (changed_at) where expires_at is null;

create table notices (
    id       integer primary key,
    at       integer not null,
    kind     text    not null,
    reason   text    not null,
    sequence integer not null,
    state    blob    not null       -- the incident as it was when it spoke
);

create table deliveries (
    id         integer primary key,
    notice     integer not null,
    sink       text    not null,
    key        blob    not null,
    attempts   integer not null,
    created_at integer not null,
    next_at    integer not null,
    outcome    text,                -- null while pending
    reason     text    not null,
    settled_at integer
);
create index deliveries_pending on deliveries (sink, id) where outcome is null;
create index deliveries_dead on deliveries (id) where outcome = 'dead';

create table records (
    id          integer primary key,
    received_at integer not null,
    source      text    not null,
    kind        text    not null,
    body        blob    not null,   -- LZ4 block behind its length
    decisions   blob    not null    -- likewise
);

create table rejects (
    id          integer primary key,
    received_at integer not null,
    source      text    not null,
    kind        text    not null,
    status      integer not null,
    reason      text    not null,
    body        blob    not null
);

-- One row, written to see whether writing works again.
create table probe (
    id integer primary key,
    at integer not null
);
