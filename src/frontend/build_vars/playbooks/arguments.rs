//! Arguments that modules have no longer, or that mean something else than they seem to.
use super::calls::Call;
use super::{Scope, Walk, modules, tail};
use crate::frontend::build_vars::yaml::{Node, Value};

impl Walk<'_> {
    pub(super) fn old_arguments(&mut self, call: &Call, scope: &Scope) {
        let name = tail(call.module);
        for (_, argument, instead) in modules::GONE.iter().filter(|(module, ..)| *module == name) {
            if let Some(spot) = call.names(argument) {
                self.at_run(
                    scope,
                    spot,
                    format!("`{argument}` of `{name}` is gone from ansible-core"),
                    *instead,
                );
            }
        }
        for (_, argument, instead) in modules::OLD.iter().filter(|(module, ..)| *module == name) {
            if let Some(spot) = call.names(argument) {
                self.warn(
                    &scope.file,
                    spot,
                    format!(
                        "`{argument}` of `{name}` is an old argument: ansible-core 2.19 refuses it"
                    ),
                    *instead,
                );
            }
        }
        for (_, argument, value, instead) in
            modules::VALUES.iter().filter(|(module, ..)| *module == name)
        {
            if let Some((_, spot)) = call.argument(argument).filter(|(text, _)| text == value) {
                self.at_run(
                    scope,
                    spot,
                    format!("`{argument}: {value}` of `{name}` is gone from ansible-core"),
                    *instead,
                );
            }
        }
        if name == "uri"
            && let Some((key, spot)) =
                call.keys().into_iter().find(|(key, _)| key.starts_with("HEADER_"))
        {
            let header = key.trim_start_matches("HEADER_").to_owned();
            self.at_run(
                scope,
                spot,
                format!("`{key}` of `uri` is gone from ansible-core"),
                format!("`headers: {{{header}: …}}`"),
            );
        }
        self.mode(call, scope);
    }

    /// A number without `0` before it is no octal one.
    fn mode(&mut self, call: &Call, scope: &Scope) {
        let Some(Node { spot, value: Value::Scalar { text, plain: true }, .. }) =
            call.value_of("mode")
        else {
            return;
        };
        if text.len() >= 3 && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()) {
            let octal = text
                .parse::<u32>()
                .map_or_else(|_| "another".into(), |number| format!("{number:o}"));
            let message = format!("`mode: {text}` is a decimal number, and means {octal}");
            self.warn(&scope.file, *spot, message, format!("`mode: \"0{text}\"`"));
        }
    }
}
