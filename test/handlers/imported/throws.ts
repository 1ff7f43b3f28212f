throw new RangeError("in a module that is imported");
