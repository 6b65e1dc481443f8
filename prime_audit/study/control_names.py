"""What the controls are called in the names of units and in the results."""

CONTROL_BASE = "control-base"
PRETRAINED = "control-pretrained"
POPULATION = "control-population"
OWN_MODULE = "control-own-module"
PLACEBO = "control-placebo"
WITHOUT = "control-without-sharer"
