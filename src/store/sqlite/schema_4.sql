-- An incident whose last word is a notice keeps that word once: `incidents.state` is then empty and `incidents.notice`
-- says where it stands. `notices.incident` is the way back, for the sweep that deletes old notices.
alter table incidents add column notice integer;
alter table notices add column incident integer;
-- What is pending is found through the directory in memory, too: each delivery was put into the index and taken out again.
drop index deliveries_pending;
