//! The seam between devices and the gateway: drivers, the supervised run loop, the change filter
