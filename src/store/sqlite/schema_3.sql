-- Deadlines and expiries change with nearly every message; they are found through the directory in memory, too.
-- From here on a structure in `state` is a list of its fields; those with names are still read.
drop index members_firing;
drop index incidents_deadline;
