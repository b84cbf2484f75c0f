"""The methods whose inner learner is a network of finite width."""
