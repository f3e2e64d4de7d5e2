"""The monitors: is what the model gets and answers still like what it was trained and approved on?"""
