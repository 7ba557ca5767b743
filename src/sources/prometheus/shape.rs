//! An element with its instance, made into an alert: identity, fields, texts. Never decides the state, which
//! the two carriers tell differently.

use std::borrow::Cow;
use std::time::Duration;

use crate::model::alert::{GRAFANA_LINK, SILENCE_LINK, Voice};
use crate::model::id::{IdHasher, hash_separated, separate};
use crate::model::{Alert, Identity, Labels, Link, SenderId, Severity, State, Timestamp};
use crate::sources::{Instance, Request};

use super::Element;

/// What all alerts of one request have in common.
pub(in crate::sources) struct Shape<'a> {
    instance: &'a Instance,
    voice: Voice,
    /// Instance and peer (evaluators) or instance alone (relays); replica labels come on top.
    sender: IdHasher,
    sender_plain: SenderId,
    /// Sorted by name; the value of `generatorURL` is filled in for each alert.
    fields: Vec<(&'a str, Cow<'a, str>)>,
    /// Grafana's organisation: its fingerprints cannot be recomputed and are taken as given.
    grafana: Option<Cow<'a, str>>,
}

/// What the carrier has made of state and times.
pub(in crate::sources) struct Spoken {
    pub(in crate::sources) state: State,
    pub(in crate::sources) starts_at: Option<Timestamp>,
    pub(in crate::sources) ends_at: Option<Timestamp>,
    pub(in crate::sources) holds_for: Duration,
}

const GENERATOR_URL: &str = "generatorURL";

impl<'a> Shape<'a> {
    /// `peer` is left out for relays: the members of an Alertmanager cluster say the same thing.
    pub(in crate::sources) fn new(
        kind: &'static str,
        voice: Voice,
        request: &Request<'a>,
        instance: &'a Instance,
    ) -> Shape<'a> {
        let mut sender = IdHasher::new("sender");
        sender.part(&instance.name);
        match voice {
            Voice::Evaluator => sender.part(request.peer),
            Voice::Relay => {}
        }
        let mut shape = Shape {
            instance,
            voice,
            sender_plain: sender.clone().sender(),
            sender,
            fields: instance.constants.iter().map(|(name, value)| (name, Cow::Borrowed(value))).collect(),
            grafana: None,
        };
        shape.set_field("source", Cow::Borrowed(kind));
        shape.set_field("instance", Cow::Borrowed(&instance.name));
        shape.set_field(GENERATOR_URL, Cow::Borrowed(""));
        shape
    }

    /// Ours win over constants of the same name.
    pub(in crate::sources) fn set_field(&mut self, name: &'a str, value: Cow<'a, str>) {
        match self.fields.binary_search_by(|(held, _)| (*held).cmp(name)) {
            Ok(at) => self.fields[at].1 = value,
            Err(at) => self.fields.insert(at, (name, value)),
        }
    }

    pub(in crate::sources) fn set_grafana(&mut self, organisation: Cow<'a, str>) {
        self.grafana = Some(organisation);
    }

    /// Takes the replica labels out and says what is missing. Before anything is hashed.
    pub(in crate::sources) fn labels_of(&self, element: &mut Element<'a>) -> Result<(Labels<'a>, SenderId), String> {
        let mut labels = element.labels.take().ok_or("field `labels` is missing")?;
        let sender = self.take_replica_labels(&mut labels);
        if labels.is_empty() && !self.is_given(element) {
            return Err("field `labels`: no label has a value".to_owned());
        }
        Ok((labels, sender))
    }

    pub(in crate::sources) fn alert(
        &self,
        mut element: Element<'a>,
        (labels, sender): (Labels<'a>, SenderId),
        spoken: Spoken,
    ) -> Alert<'a> {
        let name = name_of(&labels, &element.annotations);
        let title = title_of(&name, &labels, &element.annotations);
        let given = element.fingerprint.as_deref().filter(|_| self.grafana.is_some());
        let identity = match given {
            Some(given) => self.given_identity(given),
            None => self.label_identity(&labels),
        };
        let mut generator_url = element.generator_url.take();
        let fields = self.fields.iter().map(|(name, value)| {
            let value = if *name == GENERATOR_URL { generator_url.take() } else { Some(value.clone()) };
            (*name, value.unwrap_or_default())
        });
        let mut alert = Alert {
            identity,
            sender,
            voice: self.voice,
            state: spoken.state,
            starts_at: spoken.starts_at,
            ends_at: spoken.ends_at,
            holds_for: spoken.holds_for,
            severity: severity_of(&labels),
            name,
            title,
            fields: fields.collect(),
            links: Vec::new(),
            labels,
            annotations: element.annotations,
        };
        if self.grafana.is_some() {
            add_grafana(&mut alert, element.extras);
        }
        alert
    }

    /// A label set without labels can only be told apart by what Grafana gives it.
    fn is_given(&self, element: &Element<'a>) -> bool {
        self.grafana.is_some() && element.fingerprint.is_some()
    }

    fn take_replica_labels(&self, labels: &mut Labels<'a>) -> SenderId {
        let mut replica: Option<IdHasher> = None;
        for name in &self.instance.replica_labels {
            if let Some(value) = labels.remove(name) {
                let hasher = replica.get_or_insert_with(|| self.sender.clone());
                hasher.part(name);
                hasher.part(&value);
            }
        }
        replica.map_or(self.sender_plain, IdHasher::sender)
    }

    /// The label set, then what the instance says that the labels do not.
    fn label_identity(&self, labels: &Labels<'a>) -> Identity {
        let mut bytes = Vec::with_capacity(512);
        separate(["prometheus"], &mut bytes);
        labels.iter().for_each(|(name, value)| separate([name, value], &mut bytes));
        separate([""], &mut bytes);
        let constants = self.instance.constants.iter().filter(|(name, _)| labels.get(name).is_none());
        constants.for_each(|(name, value)| separate([name, value], &mut bytes));
        Identity(hash_separated(&bytes))
    }

    fn given_identity(&self, fingerprint: &str) -> Identity {
        let mut hasher = IdHasher::new("grafana");
        hasher.part(self.grafana.as_deref().unwrap_or_default());
        hasher.part(fingerprint);
        hasher.part("");
        for (name, value) in self.instance.constants.iter() {
            hasher.part(name);
            hasher.part(value);
        }
        hasher.identity()
    }
}

fn name_of<'a>(labels: &Labels<'a>, annotations: &Labels<'a>) -> Cow<'a, str> {
    labels
        .get_cow("alertname")
        .or_else(|| annotations.get_cow("title"))
        .or_else(|| annotations.get_cow("summary"))
        .unwrap_or(Cow::Borrowed("alert"))
}

/// The sentence the sender wrote; only where there is none, name and place.
fn title_of<'a>(name: &Cow<'a, str>, labels: &Labels<'a>, annotations: &Labels<'a>) -> Cow<'a, str> {
    if let Some(title) = annotations.get_cow("summary").or_else(|| annotations.get_cow("title")) {
        return title;
    }
    let any_case = |wanted: &str| annotations.find_cow(|held| held.eq_ignore_ascii_case(wanted));
    if let Some(title) = any_case("summary").or_else(|| any_case("title")) {
        return title;
    }
    if let Some(text) = any_case("description") {
        match text {
            Cow::Borrowed(text) => return Cow::Borrowed(first_line(text)),
            Cow::Owned(text) => return Cow::Owned(first_line(&text).to_owned()),
        }
    }
    const PLACES: [&str; 6] = ["instance", "pod", "host", "service", "namespace", "job"];
    match PLACES.into_iter().find_map(|place| labels.get(place)) {
        Some(place) => Cow::Owned(format!("{name} {place}")),
        None => name.clone(),
    }
}

fn first_line(text: &str) -> &str {
    text.trim_start().lines().next().unwrap_or(text)
}

fn severity_of(labels: &Labels<'_>) -> Severity {
    ["severity", "priority", "level"]
        .into_iter()
        .find_map(|name| labels.get(name).and_then(Severity::from_word))
        .unwrap_or_default()
}

/// Grafana's own links, first the way back to its rule, and its test button: accepted and marked, and nobody is woken
/// by it.
fn add_grafana<'a>(alert: &mut Alert<'a>, extras: Vec<(&'static str, Cow<'a, str>)>) {
    let back = [GENERATOR_URL, "externalURL"].into_iter().filter_map(|name| alert.fields.get(name));
    alert.links.extend(back.filter_map(|href| Link::checked(href, GRAFANA_LINK)).next());
    for (name, value) in extras {
        let text = match name {
            "dashboardURL" => "Dashboard",
            "panelURL" => "Panel",
            "silenceURL" => SILENCE_LINK,
            "imageURL" => "Image",
            _ => {
                alert.fields.set(name, value);
                continue;
            }
        };
        alert.links.extend(Link::checked(&value, text));
    }
    if alert.labels.get("alertname") == Some("TestAlert") && alert.labels.get("instance") == Some("Grafana") {
        alert.fields.set("test", "true");
        alert.severity = Severity::Info;
        alert.state = State::Info;
    }
}
