//! Fixed tuning values of the network, with their units. What a deployment may want to change is in
//! [`NetworkLimits`](super::NetworkLimits) instead.
