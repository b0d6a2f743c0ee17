//! Finding a member by its name or the beginning of its id, where no node is asked.

use ssid_protocol::member::Member;

use crate::error::CliError;
use crate::output::clean;

/// The place of the member that `text` names.
pub(crate) fn find_member(members: &[Member], text: &str) -> Result<usize, CliError> {
    let named = |m: &Member| m.node_name == text || m.node_id.to_string() == text;
    let begins = |m: &Member| {
        !text.is_empty()
            && m.node_id
                .to_string()
                .starts_with(&text.to_ascii_lowercase())
    };
    let places = |fits: &dyn Fn(&Member) -> bool| -> Vec<usize> {
        members
            .iter()
            .enumerate()
            .filter(|(_, m)| fits(m))
            .map(|(place, _)| place)
            .collect()
    };
    // an exact name wins over ids that begin with it
    let exact = places(&named);
    let found = if exact.is_empty() {
        places(&begins)
    } else {
        exact
    };
    // as people type it
    let found = if found.is_empty() && !text.is_empty() {
        places(&|m: &Member| m.node_name.to_lowercase() == text.to_lowercase())
    } else {
        found
    };
    let label = |m: &Member| format!("{} {}", m.node_id, clean(&m.node_name));
    match found[..] {
        [place] => Ok(place),
        [] => {
            let all: Vec<_> = members.iter().take(10).map(label).collect();
            Err(
                CliError::usage(format!("no card is of node {:?}", clean(text)))
                    .hint(format!("there are:\n{}", all.join("\n"))),
            )
        }
        _ => {
            let several: Vec<_> = found
                .iter()
                .take(10)
                .map(|place| label(&members[*place]))
                .collect();
            Err(
                CliError::usage(format!("{:?} fits several nodes", clean(text)))
                    .hint(several.join("\n")),
            )
        }
    }
}
