//! What operators decide: `POST /v1/conflicts/{subject}/resolution`, `/v1/events/{hash}/endorse`
//! and `/refuse`.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use serde::Deserialize;
use ssid_engine::{Decider, NoteKind, Operation};
use ssid_protocol::id::{Choice, SubjectId};
use tokio::time::Instant;

use super::consensus::find_subject;
use super::trust::REASON_CHARS;
use crate::api::ApiState;
use crate::api::caller::{Caller, decider_name};
use crate::api::error::{Answer, Failure};
use crate::api::fields::one_line;
use crate::api::lookup::{choice_beginning, choice_name};
use crate::api::wait::Waiter;
use crate::view::{Operated, Problem};

/// Which candidate an operator chooses.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolution {
    /// The beginning of its event hash or of its content digest; `HASH:DIGEST` where one hash has
    /// two contents.
    choice: String,
    /// Why, in one line.
    #[serde(default)]
    reason: Option<String>,
    /// Who, where that is not who asks.
    #[serde(default)]
    by: Option<String>,
}

/// Who decides and why, where nothing else needs to be said.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    #[serde(default)]
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) by: Option<String>,
}

impl Said {
    pub(super) fn read(body: &[u8]) -> Result<Self, Failure> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        let wanted = "if there is a body it is {\"reason\": \"…\", \"by\": \"…\"}";
        serde_json::from_slice(body).map_err(|e| Failure::bad_request(format!("{wanted}: {e}")))
    }

    /// The same as the engine keeps it.
    pub(super) fn of(self, caller: Caller) -> Result<Decider, Failure> {
        let reason = self
            .reason
            .map(|text| one_line("reason", &text, REASON_CHARS))
            .transpose()?;
        Ok(Decider {
            by: decider_name(self.by.as_deref(), caller)?,
            reason: reason.unwrap_or_default(),
        })
    }
}

/// How long it is waited for the certificate of a choice that is a quorum's.
const CERTIFICATE_WITHIN: Duration = Duration::from_secs(2);

/// Rule 7: the operator's standing choice.
pub(super) async fn resolve(
    State(state): State<ApiState>,
    Path(subject): Path<String>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Operated> {
    let Resolution { choice, reason, by } = serde_json::from_slice(&body?)
        .map_err(|e| Failure::bad_request(format!("needed is {{\"choice\": \"HASH\"}}: {e}")))?;
    let subject = find_subject(&state, subject).await?;
    check_no_change(&state, subject)?;
    // of what is certified no choice is left: the answer says so, with what was decided
    let Some(open) = state.known.engine.instance(subject).await? else {
        return Err(not_open(&state, subject).await?);
    };
    let choices: Vec<_> = open
        .candidates
        .iter()
        .map(|candidate| candidate.choice)
        .collect();
    let operation = Operation {
        kind: NoteKind::Stand,
        subject,
        choice: find_choice(&choices, &choice)?,
    };
    let decider = Said { reason, by }.of(caller)?;
    // it listens before the engine is asked: the last vote may come at once
    let waiter = Waiter::new(&state);
    let done = state.known.engine.operate(operation, decider).await?;
    Ok(Json(if_certified(&state, waiter, done).await?))
}

/// Whoever chose last is told that it is certified: the others' last votes come a moment later.
async fn if_certified(
    state: &ApiState,
    waiter: Waiter,
    done: Operated,
) -> Result<Operated, Failure> {
    // whoever is not the last waits for people, which may take days
    if done.certified || done.weight < done.quorum {
        return Ok(done);
    }
    let deadline = Instant::now() + CERTIFICATE_WITHIN;
    let ended = waiter
        .until_certified(state, done.subject_id, deadline)
        .await?;
    let Some(certified) = ended else {
        return Ok(done);
    };
    let explanation = format!(
        "{}; event {} is certified",
        done.explanation, certified.event_hash
    );
    Ok(Operated {
        certified: true,
        explanation,
        ..done
    })
}

async fn not_open(state: &ApiState, subject: SubjectId) -> Result<Failure, Failure> {
    let certified = state
        .read(move |state| Ok(state.known.certified(&subject)?))
        .await?;
    Ok(certified.map_or_else(
        || Failure::not_found(format!("subject {subject} is not open here")),
        |entry| {
            let detail = format!(
                "the subject is certified for event {}: that is final",
                entry.record.choice.event_hash
            );
            Failure::from(Problem::new(
                409,
                "decided",
                "The decision is not taken",
                detail,
            ))
        },
    ))
}

/// The one of a subject's candidates that `name` means.
fn find_choice(choices: &[Choice], name: &str) -> Result<Choice, Failure> {
    // hash and digest of two choices may begin alike; with both no doubt is left
    let (hash, digest) = choice_beginning(name)?;
    let fits = |choice: &&Choice| {
        let its_hash = choice.event_hash.to_string();
        let its_digest = choice.content_digest.to_string();
        match &digest {
            Some(digest) => its_hash.starts_with(&hash) && its_digest.starts_with(digest),
            None => its_hash.starts_with(&hash) || its_digest.starts_with(&hash),
        }
    };
    let fitting: Vec<_> = choices.iter().filter(fits).collect();
    match fitting[..] {
        [choice] => Ok(*choice),
        [] => {
            let all = choices.iter().take(10).map(choice_name).collect();
            Err(Failure::unknown(
                &format!("no candidate of this subject is {name}"),
                all,
            ))
        }
        _ => Err(Failure::ambiguous(
            &format!("event {name}"),
            fitting.into_iter().map(choice_name).collect(),
        )),
    }
}

/// Rule 1: a person confirms what others announced.
pub(super) async fn endorse(
    State(state): State<ApiState>,
    Path(hash): Path<String>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Operated> {
    review(
        &state,
        hash,
        NoteKind::Endorse,
        Said::read(&body?)?.of(caller)?,
    )
    .await
}

/// Rule 1: a person refuses it.
pub(super) async fn refuse(
    State(state): State<ApiState>,
    Path(hash): Path<String>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Operated> {
    review(
        &state,
        hash,
        NoteKind::Refuse,
        Said::read(&body?)?.of(caller)?,
    )
    .await
}

async fn review(
    state: &ApiState,
    hash: String,
    kind: NoteKind,
    decider: Decider,
) -> Answer<Operated> {
    let found = state.read(move |state| state.find_event(&hash)).await?;
    if kind != NoteKind::Refuse {
        check_no_change(state, found.subject_id)?;
    }
    let operation = Operation {
        kind,
        subject: found.subject_id,
        choice: found.choice,
    };
    Ok(Json(state.known.engine.operate(operation, decider).await?))
}

/// Who is a member is approved by whoever is shown the manifest and what follows from it, never by
/// the hash of an event alone.
fn check_no_change(state: &ApiState, subject: SubjectId) -> Result<(), Failure> {
    if subject != state.known.epochs.borrow().current().change() {
        return Ok(());
    }
    let problem =
        *Failure::bad_request("this is a change of members: what follows from it is shown first").0;
    let hint = "see it with: ssid membership list; then: ssid membership approve HASH";
    Err(Failure::from(problem.hint(hint)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssid_protocol::event::Event;
    use ssid_protocol::testing;

    #[test]
    fn a_hash_that_fits_two_contents_is_asked_for_the_digest() {
        let one = testing::event("blueprint_tagged", "v1");
        let same_hash = Event {
            emitted_by: "another.sh".into(),
            ..one.clone()
        };
        let other = Event {
            commit_hash: "fffffff".into(),
            ..one.clone()
        };
        let all: Vec<_> = [&one, &same_hash, &other].map(Event::choice).to_vec();
        let hash = one.event_hash().to_string();
        let problem = *find_choice(&all, &hash).unwrap_err().0;
        assert_eq!((problem.status, problem.candidates.len()), (409, 2));
        let digest = same_hash.content_digest().to_string();
        assert_eq!(
            find_choice(&all, &format!("{hash}:{}", &digest[..9])).unwrap(),
            same_hash.choice()
        );
        assert_eq!(find_choice(&all, &digest).unwrap(), same_hash.choice());
        assert_eq!(
            find_choice(&all, &other.event_hash().to_string()[..12]).unwrap(),
            other.choice()
        );
        assert_eq!(
            find_choice(&all, "0123456789abcdef0123")
                .unwrap_err()
                .0
                .status,
            404
        );
        for bad in ["", ":aa", "xyz", "aa:zz", "aa:"] {
            assert_eq!(find_choice(&all, bad).unwrap_err().0.status, 400, "{bad}");
        }
    }
}
