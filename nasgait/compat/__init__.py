"""Published networks in: configs and checkpoints of OpenGait, SPOSGait, HSTL and SelfGait."""
