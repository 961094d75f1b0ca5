"""CloudFormation stacks: planned as change sets, deployed, watched and explained."""
