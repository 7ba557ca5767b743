-- What was told counts the sinks that were: states have a field more, which earlier versions cannot read. This says so at
-- their start, where each incident would else be found unreadable.
select 1;
