"""Steps of a deployment to a real-time endpoint, as the pipeline runs them."""
from deployment import realtime
TEMPLATE = realtime.TEMPLATE
SCHEMA = realtime.SCHEMA
refuse = realtime.refuse
parameters = realtime.parameters
STEPS = {}
