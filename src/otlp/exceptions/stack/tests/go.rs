//! Go's frames: whose code they are, and what a cut has left of the last one.

use super::*;

fn frames(stack: &str) -> Vec<Frame> {
    thrown(stack, Some(Language::Go)).exceptions.remove(0).frames
}

#[test]
fn modules_of_others_are_not_the_services_own_code_wherever_they_were_built() {
    for (package, file, is_own) in [
        ("example.com/owl/store", "/srv/owl/store/store.go", true),
        // With `-trimpath` the program's own module has no version.
        ("example.com/owl/store", "example.com/owl/store/store.go", true),
        ("main", "example.com/owl/main.go", true),
        ("gopkg.in/yaml.v3", "gopkg.in/yaml.v3@v3.0.1/yaml.go", false),
        ("github.com/jackc/pgx/v5", "github.com/jackc/pgx/v5@v5.7.1/conn.go", false),
        ("golang.org/x/net/http2", "golang.org/x/net@v0.0.0-20240101000000-0123456789ab/http2/server.go", false),
        ("gopkg.in/yaml.v3", "/root/go/pkg/mod/gopkg.in/yaml.v3@v3.0.1/yaml.go", false),
        ("gopkg.in/yaml.v3", "/srv/owl/vendor/gopkg.in/yaml.v3/yaml.go", false),
        // Bazel, cut to the workspace and in its sandbox.
        ("github.com/pkg/errors", "external/com_github_pkg_errors/errors.go", false),
        ("github.com/pkg/errors", "external/gazelle~~go_deps~com_github_pkg_errors/errors.go", false),
        ("github.com/pkg/errors", "/root/.cache/bazel/execroot/_main/external/com_github_pkg_errors/errors.go", false),
        ("example.com/owl/store", "/root/.cache/bazel/execroot/_main/store/store.go", true),
        ("example.com/owl/external/mail", "/srv/owl/external/mail/mail.go", true),
        ("example.com/owl/external/mail", "example.com/owl/external/mail/mail.go", true),
        ("example.com/owl/at", "/srv/owl@home/at@version/at.go", true),
    ] {
        let stack = format!("goroutine 1 [running]:\n{package}.Do(0x1)\n\t{file}:12 +0x1d\n");
        assert_eq!(frames(&stack)[0].in_app, is_own, "{file}");
    }
}
