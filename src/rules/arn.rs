//! Amazon resource names. The only way an ARN may speak; never guesses from a form that it does not know.
//!
//! `arn:partition:service:region:account:resource`, where the resource may itself contain `:` and region and
//! account may be empty. Forms per service:
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html>.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arn<'a> {
    pub(super) partition: &'a str,
    pub(super) service: &'a str,
    pub(super) region: &'a str,
    pub(super) account: &'a str,
    /// `task`, `cluster`, `targetgroup`; empty where the service has none (`sns` topics).
    pub(super) kind: &'a str,
    pub(super) cluster: Option<&'a str>,
    /// What a person would call it: a service's name rather than the id of its deployment.
    pub(super) name: Option<&'a str>,
}

/// What `${arn.…}` may ask for.
pub(super) const FIELDS: [&str; 4] = ["cluster", "name", "account", "region"];

const ECS: &[&str] = &[
    "cluster",
    "service",
    "task",
    "container",
    "container-instance",
    "task-definition",
    "task-set",
    "service-deployment",
    "service-revision",
    "capacity-provider",
    "daemon",
    "daemon-deployment",
    "daemon-revision",
    "daemon-task-definition",
];
const EKS: &[&str] = &[
    "cluster",
    "nodegroup",
    "fargateprofile",
    "addon",
    "identityproviderconfig",
    "podidentityassociation",
    "access-entry",
    "eks-anywhere-subscription",
    "cluster-access-policy",
];
const LOAD_BALANCING: &[&str] = &["loadbalancer", "targetgroup", "listener", "listener-rule"];
const LAMBDA: &[&str] = &["function", "layer", "event-source-mapping"];

/// The resource types of a service; `None` for a service whose forms we do not know.
pub(super) fn types_of(service: &str) -> Option<&'static [&'static str]> {
    match service {
        "ecs" => Some(ECS),
        "eks" => Some(EKS),
        "elasticloadbalancing" => Some(LOAD_BALANCING),
        "lambda" => Some(LAMBDA),
        _ => None,
    }
}

impl<'a> Arn<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Arn<'a>> {
        if !text.starts_with("arn:") {
            return None;
        }
        let mut parts = text.splitn(6, ':');
        let mut part = || parts.next();
        let (_scheme, partition, service, region, account, resource) =
            (part()?, part()?, part()?, part()?, part()?, part()?);
        if !is_partition(partition) || !is_service(service) {
            return None;
        }
        let whole = Arn { partition, service, region, account, kind: "", cluster: None, name: None };
        whole.with_resource(resource)
    }

    /// CloudWatch's `LoadBalancer` and `TargetGroup` dimensions hold only the tail of the ARN:
    /// `app/N/ID`, `targetgroup/N/ID`.
    pub(super) fn parse_load_balancer_tail(text: &'a str) -> Option<Arn<'a>> {
        let none = Arn {
            partition: "",
            service: "elasticloadbalancing",
            region: "",
            account: "",
            kind: "loadbalancer",
            cluster: None,
            name: None,
        };
        match text.split('/').collect::<Vec<_>>()[..] {
            ["app" | "net" | "gwy", name, id] if full([name, id]) => Some(Arn { name: Some(name), ..none }),
            ["targetgroup", name, id] if full([name, id]) => {
                Some(Arn { kind: "targetgroup", name: Some(name), ..none })
            }
            _ => None,
        }
    }

    pub(super) fn field(&self, field: &str) -> Option<&'a str> {
        let value = match field {
            "cluster" => self.cluster?,
            "name" => self.name?,
            "account" => self.account,
            "region" => self.region,
            _ => return None,
        };
        (!value.is_empty()).then_some(value)
    }

    fn with_resource(self, resource: &'a str) -> Option<Arn<'a>> {
        if resource.is_empty() {
            return None;
        }
        let (kind, cluster, name) = match self.service {
            "ecs" => ecs(resource)?,
            "eks" => eks(resource)?,
            "elasticloadbalancing" => load_balancing(resource)?,
            "lambda" => lambda(resource)?,
            _ => other(resource),
        };
        Some(Arn { kind, cluster, name, ..self })
    }
}

type Resource<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

fn ecs(resource: &str) -> Option<Resource<'_>> {
    let segments: Vec<&str> = resource.split('/').collect();
    if !full(segments.iter().copied()) {
        return None;
    }
    match segments[..] {
        ["cluster", cluster] => Some(("cluster", Some(cluster), Some(cluster))),
        [kind @ ("service" | "task" | "container-instance" | "daemon"), cluster, name] => {
            Some((kind, Some(cluster), Some(name)))
        }
        // Written before 2018, and still by accounts that never opted in to the longer form: no cluster.
        [kind @ ("service" | "task" | "container-instance" | "container"), name] => Some((kind, None, Some(name))),
        ["container", cluster, _task, container] => Some(("container", Some(cluster), Some(container))),
        [kind @ ("task-set" | "service-deployment" | "service-revision"), cluster, service, _id] => {
            Some((kind, Some(cluster), Some(service)))
        }
        [kind @ ("daemon-deployment" | "daemon-revision"), cluster, daemon, _id] => {
            Some((kind, Some(cluster), Some(daemon)))
        }
        [kind @ ("task-definition" | "daemon-task-definition"), family] => {
            let (family, revision) = family.split_once(':').unwrap_or((family, ""));
            let fits = !family.is_empty() && revision.bytes().all(|byte| byte.is_ascii_digit());
            fits.then_some((kind, None, Some(family)))
        }
        ["capacity-provider", name] => Some(("capacity-provider", None, Some(name))),
        _ => None,
    }
}

fn eks(resource: &str) -> Option<Resource<'_>> {
    let segments: Vec<&str> = resource.split('/').collect();
    if !full(segments.iter().copied()) {
        return None;
    }
    match segments[..] {
        ["cluster", cluster] => Some(("cluster", Some(cluster), Some(cluster))),
        [kind @ ("nodegroup" | "fargateprofile" | "addon"), cluster, name, _id] => {
            Some((kind, Some(cluster), Some(name)))
        }
        ["identityproviderconfig", cluster, _type, name, _id] => {
            Some(("identityproviderconfig", Some(cluster), Some(name)))
        }
        ["podidentityassociation", cluster, id] => Some(("podidentityassociation", Some(cluster), Some(id))),
        ["access-entry", cluster, _type, _account, name, _id] => Some(("access-entry", Some(cluster), Some(name))),
        [kind @ ("eks-anywhere-subscription" | "cluster-access-policy"), name] => Some((kind, None, Some(name))),
        _ => None,
    }
}

fn load_balancing(resource: &str) -> Option<Resource<'_>> {
    let segments: Vec<&str> = resource.split('/').collect();
    if !full(segments.iter().copied()) {
        return None;
    }
    match segments[..] {
        ["loadbalancer", "app" | "net" | "gwy", name, _id] => Some(("loadbalancer", None, Some(name))),
        ["loadbalancer", name] => Some(("loadbalancer", None, Some(name))),
        ["targetgroup", name, _id] => Some(("targetgroup", None, Some(name))),
        ["listener", "app" | "net" | "gwy", name, _id, _listener] => Some(("listener", None, Some(name))),
        ["listener-rule", "app" | "net", name, _id, _listener, _rule] => Some(("listener-rule", None, Some(name))),
        _ => None,
    }
}

fn lambda(resource: &str) -> Option<Resource<'_>> {
    let segments: Vec<&str> = resource.split(':').collect();
    if !full(segments.iter().copied()) {
        return None;
    }
    match segments[..] {
        ["function", name] | ["function", name, _] => Some(("function", None, Some(name))),
        ["layer", name] | ["layer", name, _] => Some(("layer", None, Some(name))),
        ["event-source-mapping", id] => Some(("event-source-mapping", None, Some(id))),
        _ => None,
    }
}

/// `type/name`, `type:name` or `name`: enough for services whose forms we do not list.
fn other(resource: &str) -> Resource<'_> {
    match resource.split_once(['/', ':']) {
        Some((kind, name)) if !kind.is_empty() => (kind, None, (!name.is_empty()).then_some(name)),
        Some(_) | None => ("", None, Some(resource)),
    }
}

fn full<'a>(segments: impl IntoIterator<Item = &'a str>) -> bool {
    segments.into_iter().all(|segment| !segment.is_empty())
}

/// `aws`, `aws-cn`, `aws-us-gov`, `aws-iso-b`, and those to come.
fn is_partition(text: &str) -> bool {
    text.strip_prefix("aws").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
}

fn is_service(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `kind cluster name`, `-` where there is none.
    fn read(text: &str) -> String {
        Arn::parse(text).map_or_else(
            || "no".to_owned(),
            |arn| format!("{} {} {}", arn.kind, arn.cluster.unwrap_or("-"), arn.name.unwrap_or("-")),
        )
    }

    #[test]
    fn every_listed_form_reads_as_its_type_cluster_and_name() {
        for (resource, expected) in [
            ("ecs/cluster/C", "cluster C C"),
            ("ecs/service/C/S", "service C S"),
            ("ecs/service/S", "service - S"),
            ("ecs/task/C/T", "task C T"),
            ("ecs/task/T", "task - T"),
            ("ecs/container/C/T/X", "container C X"),
            ("ecs/container/X", "container - X"),
            ("ecs/container-instance/C/I", "container-instance C I"),
            ("ecs/container-instance/I", "container-instance - I"),
            ("ecs/task-definition/F:3", "task-definition - F"),
            ("ecs/task-set/C/S/X", "task-set C S"),
            ("ecs/service-deployment/C/S/X", "service-deployment C S"),
            ("ecs/service-revision/C/S/X", "service-revision C S"),
            ("ecs/capacity-provider/P", "capacity-provider - P"),
            ("ecs/daemon/C/D", "daemon C D"),
            ("ecs/daemon-deployment/C/D/X", "daemon-deployment C D"),
            ("ecs/daemon-revision/C/D/X", "daemon-revision C D"),
            ("ecs/daemon-task-definition/F:12", "daemon-task-definition - F"),
            ("eks/cluster/C", "cluster C C"),
            ("eks/nodegroup/C/N/U", "nodegroup C N"),
            ("eks/fargateprofile/C/P/U", "fargateprofile C P"),
            ("eks/addon/C/A/U", "addon C A"),
            ("eks/identityproviderconfig/C/oidc/N/U", "identityproviderconfig C N"),
            ("eks/podidentityassociation/C/I", "podidentityassociation C I"),
            ("eks/access-entry/C/role/111111111111/N/U", "access-entry C N"),
            ("eks/eks-anywhere-subscription/U", "eks-anywhere-subscription - U"),
            ("eks/cluster-access-policy/N", "cluster-access-policy - N"),
            ("elasticloadbalancing/loadbalancer/app/N/I", "loadbalancer - N"),
            ("elasticloadbalancing/loadbalancer/gwy/N/I", "loadbalancer - N"),
            ("elasticloadbalancing/loadbalancer/N", "loadbalancer - N"),
            ("elasticloadbalancing/targetgroup/N/I", "targetgroup - N"),
            ("elasticloadbalancing/listener/net/N/I/L", "listener - N"),
            ("elasticloadbalancing/listener-rule/app/N/I/L/R", "listener-rule - N"),
            ("lambda/function:N", "function - N"),
            ("lambda/function:N:live", "function - N"),
            ("lambda/layer:N:7", "layer - N"),
            ("lambda/event-source-mapping:U", "event-source-mapping - U"),
            ("sns/alarms", " - alarms"),
            ("logs/log-group:/ecs/owl:*", "log-group - /ecs/owl:*"),
        ] {
            let (service, resource) = resource.split_once('/').unwrap();
            for partition in ["aws", "aws-cn", "aws-us-gov", "aws-iso-b"] {
                let text = format!("arn:{partition}:{service}:us-east-1:111111111111:{resource}");
                assert_eq!(read(&text), expected, "{text}");
            }
        }
    }

    #[test]
    fn what_is_not_an_arn_does_not_speak() {
        for text in [
            "",
            "arn",
            "arn:aws:ecs:us-east-1:111111111111:",
            "arn:aws:ecs:us-east-1:111111111111:task",
            "arn:aws:ecs:us-east-1:111111111111:task/",
            "arn:aws:ecs:us-east-1:111111111111:task//T",
            "arn:aws:ecs:us-east-1:111111111111:task/C/T/more",
            "arn:aws:ecs:us-east-1:111111111111:unheard-of/C",
            "arn:aws:ecs:us-east-1:111111111111:task-definition/F:latest",
            "arn:AWS:ecs:us-east-1:111111111111:task/C/T",
            "arn:awsx1:ecs:us-east-1:111111111111:task/C/T",
            "arn:gcp:ecs:us-east-1:111111111111:task/C/T",
            "see arn:aws:ecs:us-east-1:111111111111:task/C/T",
            "ARN:aws:ecs:us-east-1:111111111111:task/C/T",
        ] {
            assert_eq!(read(text), "no", "{text}");
        }
    }

    #[test]
    fn region_and_account_may_be_empty_and_are_then_absent() {
        let arn = Arn::parse("arn:aws:eks::aws:cluster-access-policy/AmazonEKSAdminPolicy").unwrap();
        assert_eq!(arn.field("region"), None);
        assert_eq!(arn.field("account"), Some("aws"));
        assert_eq!(arn.field("name"), Some("AmazonEKSAdminPolicy"));
    }

    #[test]
    fn the_tails_that_cloudwatch_writes_are_read() {
        let tail =
            Arn::parse_load_balancer_tail("targetgroup/k8s-payments-paymen-0a1b2c3d4e/6d0ecf831eec9f09").unwrap();
        assert_eq!((tail.kind, tail.name), ("targetgroup", Some("k8s-payments-paymen-0a1b2c3d4e")));
        let tail = Arn::parse_load_balancer_tail("app/owl/50dc6c495c0c9188").unwrap();
        assert_eq!((tail.kind, tail.name), ("loadbalancer", Some("owl")));
        assert_eq!(Arn::parse_load_balancer_tail("owl/50dc6c495c0c9188"), None);
    }
}
