//! The members, as this node sees them.

use std::sync::Arc;

use ssid_protocol::heartbeat::Heartbeat;
use ssid_protocol::id::UnixMillis;
use ssid_protocol::member::Member;
use ssid_protocol::trust::{REVIEW_FLOOR, TrustLabel};

use super::{Knowledge, QueryError};
use crate::view::NodeView;

/// When this node had a heartbeat, and the heartbeat.
type Heard = (Arc<Heartbeat>, UnixMillis);

impl Knowledge {
    /// The members, as this node sees them.
    ///
    /// # Errors
    /// If storage cannot be read.
    pub fn nodes(&self) -> Result<Vec<NodeView>, QueryError> {
        let epoch = self.epoch();
        let members = epoch.manifest().members.iter();
        members.map(|member| self.node(member)).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// If storage cannot be read.
    pub fn node(&self, member: &Member) -> Result<NodeView, QueryError> {
        let id = &member.node_id;
        let peer = self
            .peers
            .borrow()
            .members
            .get(id)
            .cloned()
            .unwrap_or_default();
        let is_self = *id == self.node_id;
        let heard: Option<Heard> = peer.heartbeat;
        let said =
            |part: fn(&Heartbeat) -> u64| heard.as_ref().map(|(heartbeat, _)| part(heartbeat));
        let says = |part: fn(&Heartbeat) -> &String| {
            heard.as_ref().map(|(heartbeat, _)| part(heartbeat).clone())
        };
        let can_sign = heard.as_ref().map(|(heartbeat, _)| heartbeat.can_sign);
        let engine = is_self.then(|| self.engine.status().borrow().clone());
        let own = engine.as_deref();
        let (_, trust_score) = self.trust_of(id)?;
        let epoch = self.epoch();
        let voters = epoch.voters();
        Ok(NodeView {
            node_id: *id,
            peer_id: member.peer_id.clone(),
            node_name: member.node_name.clone(),
            organization: member.organization.clone(),
            role: member.role.to_string(),
            status: member.status.to_string(),
            weight: voters.index_of(id).map_or(0, |voter| voters.weight(voter)),
            addresses: member.addresses.clone(),
            git_remote: member.git_remote.clone(),
            api_endpoint: member.api_endpoint.clone(),
            is_self,
            connected: is_self || peer.connected,
            last_seen: self.last_seen(id)?.map(UnixMillis::iso),
            trust_score,
            trust_label: TrustLabel::of(trust_score).word().to_owned(),
            needs_review: trust_score < REVIEW_FLOOR,
            software: says(|h| &h.software),
            epoch: own
                .map(|e| e.epoch)
                .or(heard.as_ref().map(|(heartbeat, _)| heartbeat.epoch)),
            certified_count: own.map(|e| e.certified).or(said(|h| h.certified_count)),
            log_size: own.map(|e| e.log.size).or(said(|h| h.log_size)),
            open_count: own.map(|e| e.open).or(said(|h| h.open_count)),
            can_sign: own
                .map(|e| e.can_sign)
                .or(can_sign)
                .map(|can| can.to_string()),
            can_sign_reason: own
                .map(|e| e.can_sign_reason.clone())
                .or(says(|h| &h.can_sign_reason)),
            divergences: own.map(|e| e.divergences).or(said(|h| h.divergences)),
            blueprint: says(|h| &h.blueprint),
            compliance_score: says(|h| &h.compliance_score),
            heartbeat_delay_ms: heard.as_ref().map(|(heartbeat, at)| {
                at.0.cast_signed()
                    .saturating_sub(heartbeat.sent_at.0.cast_signed())
            }),
            round_trip_ms: peer.round_trip.map(|time| time.as_secs_f64() * 1000.0),
        })
    }
}
