//! Which frames are a service's own code: the runtimes' libraries are known, a company's are in the settings. Changes
//! nothing where the settings are silent.

use super::super::{SinkSettings, options};
use crate::model::exception::Frame;

const INCLUDE: &str = "in_app_include";
const EXCLUDE: &str = "in_app_exclude";
pub(super) const KEYS: [&str; 2] = [INCLUDE, EXCLUDE];

/// Beginnings of modules and paths, as Sentry's own SDKs take them.
#[derive(Debug, Default)]
pub(super) struct InApp {
    include: Vec<Box<str>>,
    exclude: Vec<Box<str>>,
}

impl InApp {
    pub(super) fn of(settings: &SinkSettings) -> Result<InApp, String> {
        let list = |key: &str| {
            let texts = options::texts(settings, key)?.unwrap_or_default();
            if texts.iter().any(|text| text.trim().is_empty()) {
                return Err(format!("`{key}` holds an empty text, with which every module begins"));
            }
            Ok(texts.into_iter().map(Box::from).collect())
        };
        Ok(InApp { include: list(INCLUDE)?, exclude: list(EXCLUDE)? })
    }

    pub(super) fn judges(&self, frame: &Frame) -> bool {
        let names = [&frame.module, &frame.filename, &frame.abs_path];
        let is_in = |list: &[Box<str>]| {
            list.iter()
                .any(|start| names.iter().any(|name| name.as_deref().is_some_and(|name| name.starts_with(&**start))))
        };
        is_in(&self.include) || (frame.in_app && !is_in(&self.exclude))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sinks::testkit::settings;

    #[test]
    fn the_settings_have_the_last_word_and_what_they_include_counts_before_what_they_exclude() {
        let frame = |module: &str, path: &str, in_app: bool| Frame {
            module: Some(module.to_owned()),
            abs_path: Some(path.to_owned()),
            in_app,
            ..Frame::default()
        };
        let options = json!({"in_app_include": ["org.springframework.owl", "/opt/vendor/owl"], "in_app_exclude": ["com.owl.gen", "org."]});
        let ours = InApp::of(&settings(options, &["dsn"])).unwrap();
        for (frame, expected) in [
            (frame("com.owl.store", "", true), true),
            (frame("com.owl.gen.v1", "", true), false),
            (frame("org.owl", "", true), false),
            (frame("org.springframework.owl.Nest", "", false), true),
            (frame("java.util", "", false), false),
            (frame("owl", "/opt/vendor/owl/nest.rb", false), true),
        ] {
            assert_eq!(ours.judges(&frame), expected, "{frame:?}");
            assert_eq!(InApp::default().judges(&frame), frame.in_app);
        }
        let fault = InApp::of(&settings(json!({"in_app_exclude": ["a", " "]}), &["dsn"])).unwrap_err();
        assert_eq!(fault, "`in_app_exclude` holds an empty text, with which every module begins");
    }
}
