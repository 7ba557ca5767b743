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
        ("gopkg.in/yaml.v3", "/go/pkg/mod/gopkg.in/yaml.v3@v3.0.1/yaml.go", false),
        ("gopkg.in/yaml.v3", "/srv/owl/vendor/gopkg.in/yaml.v3/yaml.go", false),
        // Bazel, cut to the workspace and in its sandbox.
        ("github.com/pkg/errors", "external/com_github_pkg_errors/errors.go", false),
        ("github.com/pkg/errors", "external/gazelle~~go_deps~com_github_pkg_errors/errors.go", false),
        ("github.com/pkg/errors", "/cache/bazel/execroot/_main/external/com_github_pkg_errors/errors.go", false),
        ("example.com/owl/store", "/cache/bazel/execroot/_main/store/store.go", true),
        ("example.com/owl/external/mail", "/srv/owl/external/mail/mail.go", true),
        ("example.com/owl/external/mail", "example.com/owl/external/mail/mail.go", true),
        ("example.com/owl/at", "/srv/owl@home/at@version/at.go", true),
    ] {
        let stack = format!("goroutine 1 [running]:\n{package}.Do(0x1)\n\t{file}:12 +0x1d\n");
        assert_eq!(frames(&stack)[0].in_app, is_own, "{file}");
    }
}

const WHOLE: &str = "goroutine 35 [running]:
runtime/debug.Stack()
\t/usr/local/go/src/runtime/debug/stack.go:26 +0x5e
panic({0x9a3ae0?, 0xe0c1b0?})
\t/usr/local/go/src/runtime/panic.go:783 +0x132
example.com/owl/store.(*Repo[...]).Load(0xc000112480, {0xa5f2c8, 0xc0001a6000}, 0x7)
\t/srv/owl/store/store.go:128 +0x1d
sort.insertionSort_func({0xc00009fe18?, 0xc0000a8018?}, 0x0, 0x2)
\t/usr/local/go/src/sort/zsortfunc.go:12 +0xa7
main.main.func2()
\t/srv/owl/main.go:160 +0x2d
created by main.main in goroutine 1
\t/srv/owl/main.go:158 +0x1e5
";

#[test]
fn a_stack_that_is_cut_anywhere_keeps_whole_frames_only() {
    let whole = frames(WHOLE);
    assert_eq!(whole.len(), 3);
    let from = WHOLE.find("128 +0x1d").unwrap() + "128 +0x1d".len();
    for end in from..=WHOLE.len() {
        let cut = frames(&WHOLE[..end]);
        let shown = &WHOLE[end - 30..end];
        assert_eq!(cut[..], whole[whole.len() - cut.len()..], "{shown}");
        let count = WHOLE[..end].matches(" +0x").count().saturating_sub(2).min(3);
        assert_eq!(cut.len(), count, "{shown}");
    }
}

#[test]
fn a_call_that_was_inlined_has_no_offset_and_is_kept_at_the_end() {
    let stack = "goroutine 1 [running]:\nmain.f(0x1)\n\t/srv/owl/main.go:12 +0x1d\nmain.g(...)\n\t/srv/owl/main.go:245";
    assert_eq!(frames(stack).iter().map(|frame| frame.line).collect::<Vec<_>>(), [Some(245), Some(12)]);
    // Nothing but frames, as pkg/errors prints them: there are no offsets at all.
    let stack = "main.f\n\t/srv/owl/main.go:12\nmain.g\n\t/srv/owl/main.go:245";
    assert_eq!(frames(stack).len(), 2);
}
