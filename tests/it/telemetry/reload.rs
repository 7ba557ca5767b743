//! Rules that change under the span road. Never waits for the watcher where a reload can be asked for.

use super::kit::{block, export, home_of, request};
use crate::client::Client;
use crate::daemon::Daemon;
use crate::stand_in::StandIn;
use crate::stand_in::otlp::{Otlp, attribute};

const ROUTES: &str = "version: 1\nkind: routes\nroutes:\n  - id: all\n    when: {}\n";

fn owned_by(team: &str) -> String {
    format!(
        "version: 1\nkind: services\nteams:\n  owls: {{ about: First. }}\n  hawks: {{ about: Then. }}\n\
         services:\n  - name: owl-service\n    owner: {team}\nrules:\n  - id: name\n    \
         when: {{ resource.service.name: {{ re: \"(?<name>.+)\" }} }}\n    set: {{ service: \"${{name}}\" }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_rules_tag_the_next_request_and_wrong_ones_change_nothing() {
    let backend = StandIn::start(Otlp::default()).await;
    let home = home_of(&backend, "", ", durability: through");
    let rules = home.path().join("rules");
    std::fs::create_dir(&rules).expect("a fresh home");
    let settings = std::fs::read_to_string(home.settings_path()).expect("it was written");
    home.write("tawny.yaml", &format!("rules: {}\n{settings}", rules.display()));
    home.write("rules/routes.yaml", ROUTES);
    home.write("rules/services.yaml", &owned_by("owls"));
    let daemon = Daemon::start(&home).await;
    let client = Client::new();
    let mut owners = Vec::new();
    for (text, status) in
        [(owned_by("owls"), 200), (owned_by("hawks"), 200), (owned_by("nobody-listed"), 422), (owned_by("owls"), 200)]
    {
        home.write("rules/services.yaml", &text);
        let reply = client.post(daemon.address, "/-/reload", Vec::new()).await.expect("the daemon answers");
        assert_eq!(reply.status, status, "{reply:?}");
        // The same Resource each time: nothing of what was known of it may be left.
        assert_eq!(export(&daemon, &request(vec![block(&[("service.name", "owl-service")], 1)])).await.status, 200);
        let spans = backend.role.spans();
        let (resource, _) = spans.last().expect("it has arrived");
        owners.push(attribute(resource, "tawny.owner").unwrap_or("none").to_owned());
    }
    assert_eq!(owners, ["owls", "hawks", "hawks", "owls"]);
}
