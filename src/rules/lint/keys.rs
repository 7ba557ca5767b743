//! Keys that nobody sends because a letter is wrong. A name is only doubted when it is nearly one that everybody knows:
//! labels are free.

use super::Tree;
use crate::rules::diagnostic::Faults;
use crate::rules::suggest;

/// Fields that every alert has, and those that sources add.
const FIELDS: [&str; 24] = [
    "source",
    "instance",
    "name",
    "title",
    "severity",
    "state",
    "receiver",
    "groupKey",
    "externalURL",
    "generatorURL",
    "test",
    "component",
    "group",
    "class",
    "namespace",
    "metric",
    "account",
    "region",
    "client",
    "project",
    "resource",
    "detail_type",
    "type",
    "topic",
];

/// Attributes of resources that OpenTelemetry names and rules ask for.
const RESOURCE: [&str; 53] = [
    "cloud.platform",
    "cloud.provider",
    "cloud.region",
    "cloud.account.id",
    "cloud.availability_zone",
    "cloud.resource_id",
    "aws.ecs.task.arn",
    "aws.ecs.task.id",
    "aws.ecs.task.family",
    "aws.ecs.task.revision",
    "aws.ecs.cluster.arn",
    "aws.ecs.cluster.name",
    "aws.ecs.container.arn",
    "aws.ecs.launchtype",
    "aws.ecs.launch_type",
    "aws.ecs.service.name",
    "aws.ecs.docker.name",
    "aws.eks.cluster.arn",
    "aws.log.group.names",
    "aws.log.group.arns",
    "aws.log.stream.names",
    "k8s.pod.uid",
    "k8s.pod.name",
    "k8s.pod.ip",
    "k8s.cluster.name",
    "k8s.cluster.uid",
    "k8s.namespace.name",
    "k8s.node.name",
    "k8s.node.uid",
    "k8s.container.name",
    "k8s.deployment.name",
    "k8s.deployment.uid",
    "k8s.statefulset.name",
    "k8s.statefulset.uid",
    "k8s.daemonset.name",
    "k8s.daemonset.uid",
    "k8s.replicaset.name",
    "k8s.replicaset.uid",
    "k8s.job.name",
    "k8s.cronjob.name",
    "container.id",
    "container.name",
    "container.image.name",
    "host.name",
    "host.id",
    "host.ip",
    "host.type",
    "service.name",
    "service.namespace",
    "service.instance.id",
    "service.criticality",
    "deployment.environment",
    "deployment.environment.name",
];

/// Labels of exporters, charts and agents.
const LABELS: [&str; 18] = [
    "alertname",
    "cluster",
    "cluster_name",
    "namespace",
    "service_name",
    "service.name",
    "environment",
    "severity",
    "instance",
    "container",
    "deployment",
    "statefulset",
    "daemonset",
    "TaskDefinitionFamily",
    "TaskClusterName",
    "ServiceName",
    "ClusterName",
    "LaunchType",
];

pub(super) fn check(tree: &Tree<'_>, faults: &mut Faults<'_>) {
    for rule in &tree.rules {
        for (entry, _) in rule.conditions() {
            let Some((scope, name)) = entry.key.split_once('.') else { continue };
            let known: &[&str] = match scope {
                "field" => &FIELDS,
                "resource" => &RESOURCE,
                "label" => &LABELS,
                _ => continue,
            };
            if known.contains(&name) || name.len() < SURE_BYTES_MIN && scope != "field" {
                continue;
            }
            let near = suggest::nearest(name, known.iter().copied());
            // `instances` beside `instance` is a label of its own as often as not.
            let is_plural = |near: &str| name.strip_suffix('s') == Some(near) || near.strip_suffix('s') == Some(name);
            if let Some(near) = near.filter(|near| !is_plural(near) && is_slip(name, near)) {
                let hint = format!("did you mean `{scope}.{near}`?");
                faults.warning(entry.key_at, format!("nothing sends `{}` as far as we know", entry.key), Some(hint));
            }
        }
    }
}

/// Shorter names are near each other by chance.
const SURE_BYTES_MIN: usize = 6;

/// The same letters but one or two: a slip, and not another word of the same length.
fn is_slip(written: &str, known: &str) -> bool {
    suggest::distance(&written.to_lowercase(), &known.to_lowercase()) <= if known.len() < 12 { 1 } else { 2 }
}
