-- Small things with a name, such as the last good rules.
create table kept (
    name  text primary key,
    value blob not null
) without rowid;
