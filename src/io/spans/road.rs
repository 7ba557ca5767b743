//! The road of one request behind its door: scan, tag each Resource, splice, route, keep the promise. Never decodes a
//! span, and never answers before the promise of the mode is kept.

mod answers;
mod ledger;
mod mend;
mod observe;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use answers::{Parts, come_back, passed, with_warnings};
use arc_swap::ArcSwap;
use ledger::Ledger;
use mend::Mending;
use observe::Observed;
use tokio::sync::oneshot;

use super::alerts::AlertWay;
use super::book::{Book, Known, Telling};
use super::errors::ErrorOutlet;
use super::faces::{Arrival, NoRoom, Outlet, Parcel, Road, Verdict};
use super::resends::{Claims, Look, Resends};
use super::routes::{SinkSet, SpanRoutes};
use super::spool::{SinkId, Spool};
use super::tally::{ItemOutcome, Tally};
use crate::io::clock::Clock;
use crate::io::live_rules::LiveRules;
use crate::model::{ErrorEvent, Signal};
use crate::otlp::enrich::{Assembly, Grafted, graft};
use crate::otlp::wire::{Block, Scan, scan};
use crate::otlp::{Malformed, alerts, exceptions, json};
use crate::rules::{RuleSet, Stamped, Stamps};
use crate::store::Later;

/// One sink as the road sees it.
pub enum Way {
    Telemetry(SinkId, Arc<dyn Outlet>),
    /// Takes the exceptions of what passes.
    Errors(Arc<ErrorOutlet>),
}

/// When a sender is told that its request was taken.
pub enum Promise {
    /// When the first sink has taken it.
    Through,
    /// When the first sink has queued it.
    Memory,
    /// When it is on disk, for all its sinks.
    Spool(Arc<Spool>),
}

/// What a road is made of.
pub struct SpanRoad {
    pub rules: Arc<LiveRules>,
    pub telling: Telling,
    pub routes: SpanRoutes,
    /// By their numbers in a [`SinkSet`].
    pub ways: Vec<Way>,
    pub promise: Promise,
    /// `None` where resends are not looked for.
    pub resends: Option<Arc<Resends>>,
    pub tally: Arc<Tally>,
    pub clock: Arc<Clock>,
    pub memory: Memory,
    /// Where alerts go that rules make of what passes.
    pub alerts: AlertWay,
    /// Whether ids that hold their hex letters are mended, as a lenient reader of JSON mends them.
    pub reading: json::Mode,
}

/// What the road remembers between requests.
pub struct Memory {
    book: ArcSwap<Book>,
    stamps: Mutex<Stamps>,
}

impl Memory {
    pub fn new(rules: &LiveRules) -> Memory {
        let stamped = Arc::new(Stamped::default());
        Memory { book: ArcSwap::from_pointee(Book::new(rules.get(), stamped)), stamps: Mutex::default() }
    }

    /// An empty book for these rules and what is stamped now.
    fn renew(&self, rules: Arc<RuleSet>) -> Arc<Book> {
        // Held over the swap, so that of two renewals the later one knows more.
        let stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Arc::new(Book::new(rules, stamps.snapshot()));
        self.book.store(fresh.clone());
        fresh
    }
}

/// What goes to one set of sinks.
struct Load<'a> {
    assembly: Assembly<'a>,
    /// Where the request is one block and came in one gzip member.
    grafted: Option<Grafted>,
    item_count: usize,
    claims: Option<Claims>,
    errors: Vec<ErrorEvent>,
    omitted_errors: u64,
}

/// A request, sorted.
struct Sorted<'a> {
    /// Most requests have one, and few have more than some.
    loads: Vec<(SinkSet, Load<'a>)>,
    /// Blocks that another request holds.
    shared: Vec<oneshot::Receiver<bool>>,
    /// Some blocks were accepted before.
    has_accepted: bool,
    alerts: alerts::Found,
}

impl Road for SpanRoad {
    fn take(&self, arrival: Arrival) -> Later<'_, Verdict> {
        Box::pin(self.take_in(arrival))
    }
}

impl SpanRoad {
    async fn take_in(&self, mut arrival: Arrival) -> Verdict {
        let mut observed = Observed::default();
        let mut scanned = scan(arrival.signal, &arrival.body, &mut observed);
        let has_odd_ids = scanned.as_ref().is_ok_and(|scan| scan.invalid_id_count > 0);
        if has_odd_ids && self.reading == json::Mode::Lenient {
            match mend::mend_ids(&mut arrival) {
                Ok(Mending::Nothing) => {}
                Ok(Mending::Mended) => {
                    observed = Observed::default();
                    scanned = scan(arrival.signal, &arrival.body, &mut observed);
                }
                Err(NoRoom) => return come_back("there is no memory to mend the ids in"),
            }
        }
        // All of a request is decided by one book.
        let book = self.book();
        let sorted =
            scanned.and_then(|scan| Ok((self.sort(&arrival, &scan, &observed, &book)?, scan.invalid_id_count)));
        let (sorted, invalid_id_count) = match sorted {
            Ok(sorted) => sorted,
            Err(malformed) => return Verdict::Malformed { reason: malformed.to_string() },
        };
        // Before anything is offered: what the store refuses comes again whole, and then nothing of it went out twice.
        let item_count = sorted.loads.iter().map(|(_, load)| load.item_count).sum();
        let mut ledger = Ledger::new(&self.tally, arrival.signal, item_count);
        if let Err(reason) = self.alerts.take(sorted.alerts, &book, &self.tally).await {
            ledger.settle_all(ItemOutcome::NotNow);
            return come_back(&reason);
        }
        let mut parts = Parts::new();
        if sorted.has_accepted {
            parts.taken();
        }
        for (set, load) in sorted.loads {
            let item_count = load.item_count;
            parts.add(self.send(&arrival, set, load, &mut ledger).await, item_count);
        }
        for told in sorted.shared {
            if told.await.unwrap_or(false) {
                parts.taken();
            } else {
                parts.add(come_back("the same spans are on their way and were not taken yet"), 0);
            }
        }
        let verdict = parts.verdict();
        if matches!(verdict, Verdict::Taken | Verdict::Partly { .. }) {
            self.tally.invalid_ids(invalid_id_count);
            self.tally.repairs(&arrival.repairs);
        }
        with_warnings(verdict, &arrival, invalid_id_count)
    }

    /// Everything up to the offers: no waiting.
    fn sort<'a>(
        &self,
        arrival: &'a Arrival,
        scan: &Scan,
        observed: &Observed,
        book: &Book,
    ) -> Result<Sorted<'a>, Malformed> {
        let alerts = alerts::Found::default();
        let mut sorted = Sorted { loads: Vec::new(), shared: Vec::new(), has_accepted: false, alerts };
        let asked = AlertWay::asked(&book.rules, arrival.signal);
        // Fields that nobody knows stand between the blocks; they go with the block behind them, or the last.
        let mut gaps = scan.gaps(arrival.body.len()).peekable();
        let mut last = self.routes.otherwise;
        for (at, block) in scan.blocks.iter().enumerate() {
            let resource = block.resource(&arrival.body);
            let known = match arrival.signal {
                Signal::Traces => {
                    let spans = &arrival.body[block.payload.clone()];
                    book.look_up_with_spans(&resource, spans, &self.telling, &self.routes, &self.tally)?
                }
                Signal::Logs | Signal::Metrics | Signal::Profiles => {
                    book.look_up(&resource, &self.telling, &self.routes, &self.tally)?
                }
            };
            self.dispute(&known);
            observed.add_to(at, block, &known);
            last = known.to;
            let load = self.load_for(known.to, arrival, &mut sorted.loads);
            while let Some(gap) = gaps.next_if(|gap| gap.end <= block.field.start) {
                load.assembly.keep(gap);
            }
            if let (Some(resends), Some(claims)) = (&self.resends, &mut load.claims) {
                let hash = resends.hash(&arrival.body[block.payload.clone()]);
                match claims.look(hash, Instant::now()) {
                    Look::New => {}
                    look @ (Look::Accepted | Look::Twin) => {
                        sorted.has_accepted |= matches!(look, Look::Accepted);
                        self.tally.items(arrival.signal, ItemOutcome::Resent, block.item_count);
                        continue;
                    }
                    Look::InFlight(told) => {
                        self.tally.items(arrival.signal, ItemOutcome::Resent, block.item_count);
                        sorted.shared.push(told);
                        continue;
                    }
                }
            }
            load.assembly.block(block, &known.resource);
            if let Some(member) = &arrival.member {
                load.grafted = graft(member, arrival.body.len(), block, &known.resource);
            }
            load.item_count += block.item_count;
            if let Some(asked) = &asked {
                let payload = &arrival.body[block.payload.clone()];
                alerts::find(payload, &resource, &asked.of(&known.tags), &mut sorted.alerts);
            }
            if block.has_exceptions {
                self.find_errors(arrival, block, &known, load);
            }
        }
        for gap in gaps {
            self.load_for(last, arrival, &mut sorted.loads).assembly.keep(gap);
        }
        Ok(sorted)
    }

    /// What goes to these sinks: the newest is asked first, because neighbours go the same way.
    fn load_for<'l, 'a>(
        &self,
        set: SinkSet,
        arrival: &'a Arrival,
        loads: &'l mut Vec<(SinkSet, Load<'a>)>,
    ) -> &'l mut Load<'a> {
        let at = loads.iter().rposition(|(held, _)| *held == set).unwrap_or_else(|| {
            loads.push((set, self.load(arrival)));
            loads.len() - 1
        });
        &mut loads[at].1
    }

    fn load<'a>(&self, arrival: &'a Arrival) -> Load<'a> {
        let resends = self.resends.as_ref().filter(|_| arrival.signal == Signal::Traces);
        Load {
            assembly: Assembly::new(&arrival.body),
            grafted: None,
            item_count: 0,
            claims: resends.map(Resends::claims),
            errors: Vec::new(),
            omitted_errors: 0,
        }
    }

    async fn send(&self, arrival: &Arrival, set: SinkSet, load: Load<'_>, ledger: &mut Ledger<'_>) -> Verdict {
        let Load { assembly, grafted, item_count, claims, errors, omitted_errors } = load;
        let slices = assembly.finish();
        let signal = arrival.signal;
        if slices.is_empty() {
            return Verdict::Taken;
        }
        let outlets: Vec<(SinkId, &Arc<dyn Outlet>)> = set
            .iter()
            .filter_map(|sink| match &self.ways[sink] {
                Way::Telemetry(id, outlet) => outlet.accepts(signal).then_some((*id, outlet)),
                Way::Errors(_) => None,
            })
            .collect();
        let mut parcel = Parcel::new(signal, slices, item_count, arrival.share.clone());
        parcel.grafted = grafted.map(Arc::new);
        if outlets.len() > 1 {
            parcel = parcel.for_several();
        }
        let verdict = self.offer(parcel, &outlets).await;
        let is_taken = matches!(verdict, Verdict::Taken | Verdict::Partly { .. });
        let outcome = if is_taken && outlets.is_empty() { ItemOutcome::Unsent } else { ledger::outcome(&verdict) };
        ledger.settle(outcome, item_count);
        if let Some(claims) = claims {
            claims.settle(is_taken, Instant::now());
        }
        if is_taken && (!errors.is_empty() || omitted_errors > 0) {
            self.offer_errors(set, errors, omitted_errors);
        }
        verdict
    }

    /// The first sink's room, and in `through` its answer, decide; the others shed for themselves.
    async fn offer(&self, parcel: Parcel, outlets: &[(SinkId, &Arc<dyn Outlet>)]) -> Verdict {
        let Some(((_, first), others)) = outlets.split_first() else { return Verdict::Taken };
        let verdict = match &self.promise {
            Promise::Memory if others.is_empty() => {
                return first
                    .offer(parcel, None)
                    .map_or_else(|NoRoom| come_back("the queue is full"), |()| Verdict::Taken);
            }
            Promise::Memory => match first.offer(parcel.clone(), None) {
                Ok(()) => Verdict::Taken,
                Err(NoRoom) => come_back("the queue is full"),
            },
            Promise::Through => {
                let (tell, told) = oneshot::channel();
                match first.offer(parcel.clone(), Some(tell)) {
                    Ok(()) => told.await.map_or_else(|_| come_back("shutting down"), passed),
                    Err(NoRoom) => come_back("the queue is full"),
                }
            }
            Promise::Spool(spool) => {
                let sinks = outlets.iter().map(|(id, _)| *id).collect();
                return match spool.append(vec![(parcel, sinks)]).await {
                    Ok(()) => Verdict::Taken,
                    Err(cause) => come_back(&cause.reason),
                };
            }
        };
        if matches!(verdict, Verdict::Taken | Verdict::Partly { .. }) {
            for (_, other) in others {
                // A queue without room counts what it sheds.
                let _ = other.offer(parcel.clone(), None);
            }
        }
        verdict
    }

    /// Reads exceptions only where a sink has room for them; else they are counted.
    fn find_errors(&self, arrival: &Arrival, block: &Block, known: &Known, load: &mut Load<'_>) {
        let mut outlets = known.to.iter().filter_map(|sink| match &self.ways[sink] {
            Way::Errors(outlet) => Some(outlet),
            Way::Telemetry(..) => None,
        });
        let payload = &arrival.body[block.payload.clone()];
        let Some(first) = outlets.next() else { return };
        if first.wants() || outlets.any(|outlet| outlet.wants()) {
            let found = exceptions::find(arrival.signal, payload, &known.tags, self.clock.now());
            load.errors.extend(found.events);
            load.omitted_errors += found.omitted_count;
        } else {
            load.omitted_errors += exceptions::count(arrival.signal, payload);
        }
    }

    fn offer_errors(&self, set: SinkSet, errors: Vec<ErrorEvent>, omitted: u64) {
        for sink in set.iter() {
            if let Way::Errors(outlet) = &self.ways[sink] {
                outlet.offer(errors.clone());
                outlet.omitted(omitted);
            }
        }
    }

    /// The book of the rules in force.
    fn book(&self) -> Arc<Book> {
        let book = self.memory.book.load();
        let rules = self.rules.get();
        if Arc::ptr_eq(&book.rules, &rules) {
            return Arc::clone(&book);
        }
        self.memory.renew(rules)
    }

    /// Nearly every Resource agrees with itself and costs nothing here.
    fn dispute(&self, known: &Known) {
        if known.disputed.is_empty() {
            return;
        }
        let now = self.clock.now();
        let mut stamps = self.memory.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_changed = false;
        for disputed in known.disputed.iter() {
            is_changed |= stamps.observe(disputed, now);
        }
        if is_changed {
            for identity in stamps.snapshot().iter() {
                tracing::warn!(
                    identity,
                    "a gateway stamps this on the telemetry of others; it has no say about platforms"
                );
            }
            drop(stamps);
            self.memory.renew(self.rules.get());
        }
    }
}
